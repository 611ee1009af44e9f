//! The client of oned's XML-RPC: asks, and hands on what comes while it comes. Every
//! call ends within its deadline, whatever the other side does. It never asks twice.

mod credentials;
mod endpoint;
mod error;
mod transport;

pub use credentials::Credentials;
pub use endpoint::Endpoint;
pub use error::{OnedError, SetupError};
pub use transport::Limits;

use crate::model::ids::{ClusterId, HostId, VmId};
use crate::model::sample::Counters;
use crate::model::snapshot::{Host, Vm};
use crate::opennebula::cloud::{self, ClusterTemplate};
use crate::opennebula::elements::PayloadError;
use crate::opennebula::identity::{self, Page, Visit};
use crate::opennebula::whereabouts::{self, Whereabouts};
use crate::opennebula::xmlrpc::{Answer, Param, call};
use crate::opennebula::{message, monitoring};
use std::io::{BufRead, BufReader, Read};
use std::time::Instant;
use transport::Transport;

/// VMs that one call asks for.
const PAGE: i32 = 500;
/// Objects of all users.
const ALL_USERS: Param<'static> = Param::Integer(-2);
/// VMs in any state but DONE.
const NOT_DONE: Param<'static> = Param::Integer(-1);
/// VMs that wait for a host.
const PENDING: Param<'static> = Param::Integer(1);
/// Attributes are set beside those that are there, in `one.vm.update`.
const APPEND: Param<'static> = Param::Integer(1);
/// The capacity of the target is looked at, in `one.vm.migrate`.
const ENFORCE: Param<'static> = Param::Boolean(true);
/// The datastore stays, likewise.
const ITS_DATASTORE: Param<'static> = Param::Integer(-1);
/// More of a version is not kept.
const LONGEST_VERSION: u64 = 100;
/// What is held of an answer on its way.
const BUFFER: usize = 64 * 1024;

/// Which samples are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last one of each object.
    Last,
    /// All that oned keeps: hundreds of megabytes in a cloud of some hundred VMs.
    All,
    /// Those of the last seconds; 0 is taken as 1.
    Seconds(u32),
}

impl Window {
    fn param(self) -> Param<'static> {
        Param::Integer(match self {
            Self::Last => 0,
            Self::All => -1,
            Self::Seconds(seconds) => i32::try_from(seconds.max(1)).unwrap_or(i32::MAX),
        })
    }
}

/// How a VM that runs is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It runs on.
    Live,
    /// It is saved, moved and resumed.
    Save,
    /// It is shut down, moved and started.
    PowerOff,
    /// The same, without its guest being asked.
    PowerOffHard,
}

/// Where OpenNebula's packages keep oned's configuration.
const OF_PACKAGES: &str = "/etc/one/oned.conf";

/// One oned and who we are to it.
#[derive(Debug)]
pub struct Oned {
    transport: Transport,
    credentials: Credentials,
    limits: Limits,
}

impl Oned {
    /// The oned of ONED_ADDR, ONE_XMLRPC or this machine's oned.conf, with the credentials of ONE_AUTH.
    ///
    /// # Errors
    /// When either is wrong.
    pub fn of_environment(limits: Limits) -> Result<Self, SetupError> {
        let variable = |name: &str| std::env::var(name).ok();
        let folder = variable("ONE_LOCATION").filter(|folder| !folder.is_empty());
        let conf = folder.map_or_else(|| OF_PACKAGES.to_owned(), |folder| format!("{folder}/etc/oned.conf"));
        // unreadable is as good as silent: `check` tells of files
        let conf = std::fs::read(conf).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Self::new(Endpoint::find(&variable, conf.as_deref())?, Credentials::find(None, &variable)?, limits, None)
    }

    /// Nothing is sent yet. Without `proxy` (a URL) none is used, whatever the environment says.
    ///
    /// # Errors
    /// When `proxy` is no proxy.
    pub fn new(
        endpoint: Endpoint,
        credentials: Credentials,
        limits: Limits,
        proxy: Option<&str>,
    ) -> Result<Self, SetupError> {
        let transport = Transport::new(endpoint, limits, proxy)?;
        Ok(Self { transport, credentials, limits })
    }

    /// The same oned, to which each method may take so much longer in all.
    #[must_use]
    pub fn with_more_time(&self, more: std::time::Duration) -> Self {
        let limits = Limits { total: self.limits.total + more, ..self.limits };
        Self { limits, transport: self.transport.with(limits), credentials: self.credentials.clone() }
    }

    /// OpenNebula's version, such as `7.4.0`.
    ///
    /// # Errors
    /// When oned cannot be asked, or refuses.
    pub fn system_version(&self) -> Result<String, OnedError> {
        self.ask("one.system.version", &[], self.deadline(), |payload| {
            let mut version = Vec::new();
            payload.take(LONGEST_VERSION).read_to_end(&mut version)?;
            Ok(String::from_utf8_lossy(&version).trim().to_owned())
        })
    }

    /// Hands the samples of all VMs, ended ones included, to `visit`; returns how many
    /// could not be read. After an error `visit` has seen some of them.
    ///
    /// # Errors
    /// When oned cannot be asked, refuses, or does not answer to the end.
    pub fn vm_monitoring(&self, window: Window, visit: &mut dyn FnMut(Counters)) -> Result<usize, OnedError> {
        let params = [ALL_USERS, window.param()];
        self.ask("one.vmpool.monitoring", &params, self.deadline(), |payload| monitoring::records(payload, visit))
    }

    /// Hands the samples of all hosts to `visit`; returns how many could not be read.
    /// An ordinary user gets none, and no error.
    ///
    /// # Errors
    /// As [`Self::vm_monitoring`].
    pub fn host_monitoring(&self, window: Window, visit: &mut dyn FnMut(Counters)) -> Result<usize, OnedError> {
        let params = [window.param()];
        self.ask("one.hostpool.monitoring", &params, self.deadline(), |payload| monitoring::records(payload, visit))
    }

    /// Hands every VM that is not DONE to `visit`, newest first; returns how many could
    /// not be read. All pages together have one deadline. When VMs come or go between
    /// two pages, a VM may be seen twice, or be missed until the next time.
    ///
    /// # Errors
    /// As [`Self::vm_monitoring`].
    pub fn vm_identities(&self, visit: &mut Visit<'_>) -> Result<usize, OnedError> {
        let deadline = self.deadline();
        let (mut start, mut skipped) = (0_i32, 0);
        loop {
            let params = [ALL_USERS, Param::Integer(start), Param::Integer(-PAGE), NOT_DONE];
            let page: Page =
                self.ask("one.vmpool.infoextended", &params, deadline, |payload| identity::identities(payload, visit))?;
            skipped += page.skipped;
            start = start.saturating_add(PAGE);
            // a page of another length is the last one, or oned does not know pages
            if page.vms != PAGE as usize {
                return Ok(skipped);
            }
        }
    }

    /// Hands every host to `visit`; returns how many could not be read. An ordinary user
    /// gets none, and no error.
    ///
    /// # Errors
    /// As [`Self::vm_monitoring`].
    pub fn hosts(&self, visit: &mut dyn FnMut(Host)) -> Result<usize, OnedError> {
        self.ask("one.hostpool.info", &[], self.deadline(), |payload| cloud::hosts(payload, visit))
    }

    /// Hands every cluster and its attributes to `visit`; returns how many could not be read.
    ///
    /// # Errors
    /// As [`Self::vm_monitoring`].
    pub fn clusters(&self, visit: &mut dyn FnMut(ClusterId, ClusterTemplate)) -> Result<usize, OnedError> {
        self.ask("one.clusterpool.info", &[], self.deadline(), |payload| cloud::clusters(payload, visit))
    }

    /// Hands ID and NAME of every cluster to `visit`; returns how many could not be read.
    ///
    /// # Errors
    /// As [`Self::vm_monitoring`].
    pub fn cluster_names(&self, visit: &mut dyn FnMut(ClusterId, &str)) -> Result<usize, OnedError> {
        self.ask("one.clusterpool.info", &[], self.deadline(), |payload| cloud::cluster_names(payload, visit))
    }

    /// Tells oned to have a cluster optimized. It returns when oned has heard it, not when
    /// there is a plan.
    ///
    /// # Errors
    /// When oned cannot be asked, or refuses.
    pub fn optimize(&self, cluster: ClusterId) -> Result<(), OnedError> {
        self.ask("one.cluster.optimize", &[Param::Integer(cluster.0)], self.deadline(), |_| Ok(()))
    }

    /// Hands every pending VM to `visit`, with all that its document tells; returns how
    /// many could not be read.
    ///
    /// # Errors
    /// As [`Self::vm_monitoring`].
    pub fn pending_vms(&self, visit: &mut dyn FnMut(Vm)) -> Result<usize, OnedError> {
        let params = [ALL_USERS, Param::Integer(-1), Param::Integer(-1), PENDING];
        self.ask("one.vmpool.infoextended", &params, self.deadline(), |payload| cloud::vms(payload, visit))
    }

    /// Writes USER_TEMPLATE/SCHED_MESSAGE of a VM, as [`message::shown`] has it, and leaves all
    /// else there as it is.
    ///
    /// # Errors
    /// When oned cannot be asked, or refuses.
    pub fn set_sched_message(&self, vm: VmId, text: &str) -> Result<(), OnedError> {
        let template = format!("SCHED_MESSAGE = \"{}\"", message::shown(text));
        let params = [Param::Integer(vm.0), Param::Text(&template), APPEND];
        self.ask("one.vm.update", &params, self.deadline(), |_| Ok(()))
    }

    /// Where a VM is and what it is doing.
    ///
    /// # Errors
    /// When oned cannot be asked, refuses, or knows no such VM.
    pub fn vm(&self, vm: VmId) -> Result<Whereabouts, OnedError> {
        self.ask("one.vm.info", &[Param::Integer(vm.0), Param::Boolean(false)], self.deadline(), |payload| {
            whereabouts::vm(payload)
        })
    }

    /// The VMs of a name that are not DONE.
    ///
    /// # Errors
    /// As [`Self::vm_monitoring`].
    pub fn vms_called(&self, name: &str) -> Result<Vec<Whereabouts>, OnedError> {
        let (deadline, mut found) = (self.deadline(), Vec::new());
        let mut start = 0_i32;
        loop {
            let params = [ALL_USERS, Param::Integer(start), Param::Integer(-PAGE), NOT_DONE];
            let count = self.ask("one.vmpool.infoextended", &params, deadline, |payload| {
                whereabouts::vms(payload, &mut |vm| {
                    if vm.name == name {
                        found.push(vm);
                    }
                })
            })?;
            start = start.saturating_add(PAGE);
            // a page of another length is the last one, or oned does not know pages
            if count != PAGE as usize {
                return Ok(found);
            }
        }
    }

    /// Tells oned to move a VM to a host, on the datastore where it is. It returns when oned has
    /// begun; oned itself looks whether the host has room.
    ///
    /// # Errors
    /// When oned cannot be asked, or refuses.
    pub fn migrate(&self, vm: VmId, to: HostId, how: Move) -> Result<(), OnedError> {
        // the kinds of a cold migration are numbered
        let cold = match how {
            Move::Live | Move::Save => 0,
            Move::PowerOff => 1,
            Move::PowerOffHard => 2,
        };
        let params = [
            Param::Integer(vm.0),
            Param::Integer(to.0),
            Param::Boolean(how == Move::Live),
            ENFORCE,
            ITS_DATASTORE,
            Param::Integer(cold),
        ];
        self.ask("one.vm.migrate", &params, self.deadline(), |_| Ok(()))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.limits.total
    }

    /// Calls a method and reads its payload as it comes.
    fn ask<T>(
        &self,
        method: &'static str,
        params: &[Param<'_>],
        deadline: Instant,
        read: impl FnOnce(&mut dyn BufRead) -> Result<T, PayloadError>,
    ) -> Result<T, OnedError> {
        let document = self.document(method, params);
        let body = self.transport.post(document, deadline)?;
        let fail = |error| self.transport.answer_error(method, error, &self.credentials);
        let mut answer = Answer::open(BufReader::with_capacity(BUFFER, body)).map_err(fail)?;
        match read(&mut answer) {
            Ok(value) => answer.finish().map(|()| value).map_err(fail),
            Err(PayloadError::Read(error)) => match answer.finish() {
                Err(cause) => Err(fail(cause)),
                Ok(()) => Err(OnedError::Payload { method, problem: PayloadError::Read(error) }),
            },
            Err(problem) => Err(OnedError::Payload { method, problem }),
        }
    }

    fn document(&self, method: &str, params: &[Param<'_>]) -> String {
        let mut all = vec![Param::Text(self.credentials.session())];
        all.extend_from_slice(params);
        call(method, &all)
    }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::testing::{Scripted, refused, success};
    use super::*;

    #[test]
    fn a_window_is_told_in_the_numbers_of_oned() {
        let of = |window: Window| call("m", &[window.param()]);
        for (window, number) in [
            (Window::Last, 0),
            (Window::All, -1),
            (Window::Seconds(0), 1),
            (Window::Seconds(7), 7),
            (Window::Seconds(u32::MAX), i32::MAX),
        ] {
            let text = of(window);
            assert!(text.contains(&format!("<param><value><i4>{number}</i4></value></param>")), "{text}");
        }
    }

    #[test]
    fn each_call_begins_with_who_we_are_and_may_take_longer() {
        let credentials = Credentials::parse("me:secret").unwrap();
        let oned = Oned::new(Endpoint::default(), credentials, Limits::default(), None).unwrap();
        let text = oned.document("one.x", &[Param::Integer(5)]);
        let expected = "<methodName>one.x</methodName><params><param><value><string>me:secret</string></value></param>\
                        <param><value><i4>5</i4></value></param></params>";
        assert!(text.contains(expected), "{text}");
        let longer = oned.with_more_time(std::time::Duration::from_secs(9));
        assert_eq!(longer.limits.total, oned.limits.total + std::time::Duration::from_secs(9));
        assert!(oned.deadline() > Instant::now());
    }

    /// What a method is asked with.
    fn call_of(name: &str, params: &[&str]) -> Vec<(String, Vec<String>)> {
        vec![(name.to_owned(), params.iter().map(|param| (*param).to_owned()).collect())]
    }

    #[test]
    fn each_method_asks_what_oned_knows_it_by_and_reads_what_comes() {
        let scripted = Scripted::start();
        let oned = scripted.client();
        let asked = |name: &str, params: &[&str]| assert_eq!(scripted.asked(), call_of(name, params));
        scripted.answer("one.system.version", &[success(&format!(" 7.4.0{}", " ".repeat(200)))]);
        assert_eq!(oned.system_version().unwrap(), "7.4.0");
        asked("one.system.version", &[]);
        scripted.answer("one.system.version", &[success(&"7".repeat(101))]);
        assert_eq!(oned.system_version().unwrap(), "7".repeat(100));
        scripted.asked();

        let sample = "<MONITORING><ID>4</ID><TIMESTAMP>9</TIMESTAMP><CPU>2</CPU></MONITORING>";
        let samples = success(&format!("<MONITORING_DATA>{sample}<MONITORING/></MONITORING_DATA>"));
        let expected = [Counters { id: 4, at: 9, cpu: Some(2.0), ..Counters::default() }];
        scripted.answer("one.vmpool.monitoring", std::slice::from_ref(&samples));
        scripted.answer("one.hostpool.monitoring", &[samples]);
        let mut found = Vec::new();
        assert_eq!(oned.vm_monitoring(Window::Seconds(60), &mut |one| found.push(one)).unwrap(), 1);
        assert_eq!(found, expected);
        asked("one.vmpool.monitoring", &["<i4>-2</i4>", "<i4>60</i4>"]);
        found.clear();
        assert_eq!(oned.host_monitoring(Window::Last, &mut |one| found.push(one)).unwrap(), 1);
        assert_eq!(found, expected);
        asked("one.hostpool.monitoring", &["<i4>0</i4>"]);

        let mut ids = Vec::new();
        scripted.answer("one.hostpool.info", &[success("<HOST_POOL><HOST/><HOST><ID>3</ID></HOST></HOST_POOL>")]);
        assert_eq!(oned.hosts(&mut |host| ids.push(host.id.0)).unwrap(), 1);
        asked("one.hostpool.info", &[]);
        let pool = "<CLUSTER_POOL><CLUSTER/><CLUSTER><ID>5</ID><NAME>c</NAME><TEMPLATE><A>b</A></TEMPLATE></CLUSTER>\
                    </CLUSTER_POOL>";
        scripted.answer("one.clusterpool.info", &[success(pool)]);
        let (mut templates, mut names) = (Vec::new(), Vec::new());
        assert_eq!(oned.clusters(&mut |id, template| templates.push((id.0, template))).unwrap(), 1);
        asked("one.clusterpool.info", &[]);
        assert_eq!(oned.cluster_names(&mut |id, name| names.push((id.0, name.to_owned()))).unwrap(), 1);
        asked("one.clusterpool.info", &[]);
        assert_eq!((templates, names), (vec![(5, vec![("A".into(), "b".into())])], vec![(5, "c".to_owned())]));
        let pool = "<VM_POOL><VM/><VM><ID>8</ID><STATE>1</STATE></VM></VM_POOL>";
        scripted.answer("one.vmpool.infoextended", &[success(pool)]);
        assert_eq!(oned.pending_vms(&mut |vm| ids.push(vm.id.0)).unwrap(), 1);
        asked("one.vmpool.infoextended", &["<i4>-2</i4>", "<i4>-1</i4>", "<i4>-1</i4>", "<i4>1</i4>"]);
        assert_eq!(ids, [3, 8]);
        scripted.answer("one.vm.info", &[success("<VM><ID>8</ID><NAME>web</NAME></VM>")]);
        let vm = oned.vm(VmId(8)).unwrap();
        assert_eq!((vm.id, vm.name.as_str()), (VmId(8), "web"));
        asked("one.vm.info", &["<i4>8</i4>", "<boolean>0</boolean>"]);
    }

    #[test]
    fn what_changes_something_names_it_whole_and_hears_a_refusal() {
        let scripted = Scripted::start();
        let oned = scripted.client();
        for method in ["one.cluster.optimize", "one.vm.update", "one.vm.migrate"] {
            scripted.answer(method, &[success("")]);
        }
        oned.optimize(ClusterId(100)).unwrap();
        assert_eq!(scripted.asked(), call_of("one.cluster.optimize", &["<i4>100</i4>"]));
        oned.set_sched_message(VmId(7), "no \"room\"").unwrap();
        let template = format!("<string>SCHED_MESSAGE = \"{}\"</string>", message::shown("no \"room\""));
        assert_eq!(scripted.asked(), call_of("one.vm.update", &["<i4>7</i4>", &template, "<i4>1</i4>"]));
        for (how, live, cold) in
            [(Move::Live, 1, 0), (Move::Save, 0, 0), (Move::PowerOff, 0, 1), (Move::PowerOffHard, 0, 2)]
        {
            oned.migrate(VmId(7), HostId(4), how).unwrap();
            let (live, cold) = (format!("<boolean>{live}</boolean>"), format!("<i4>{cold}</i4>"));
            let params = ["<i4>7</i4>", "<i4>4</i4>", &live, "<boolean>1</boolean>", "<i4>-1</i4>", &cold];
            assert_eq!(scripted.asked(), call_of("one.vm.migrate", &params), "{how:?}");
        }
        for method in ["one.cluster.optimize", "one.vm.update", "one.vm.migrate"] {
            scripted.answer(method, &[refused(crate::opennebula::xmlrpc::NO_SUCH_OBJECT)]);
        }
        let refusals = [
            oned.optimize(ClusterId(1)),
            oned.set_sched_message(VmId(1), "a"),
            oned.migrate(VmId(1), HostId(1), Move::Live),
        ];
        assert!(refusals.iter().all(|one| one.as_ref().is_err_and(OnedError::is_about_the_object)), "{refusals:?}");
    }

    #[test]
    fn pages_follow_until_one_is_not_full() {
        let scripted = Scripted::start();
        let oned = scripted.client();
        let pool = |ids: std::ops::Range<i32>| {
            let vms: String = ids.map(|id| format!("<VM><ID>{id}</ID><NAME>n{}</NAME></VM>", id % 2)).collect();
            success(&format!("<VM_POOL>{vms}<VM/></VM_POOL>"))
        };
        // one of each page cannot be read, and counts for its length
        let pages = [pool(0..499), pool(499..998), pool(998..1001)];
        scripted.answer("one.vmpool.infoextended", &pages);
        let mut ids = Vec::new();
        assert_eq!(oned.vm_identities(&mut |vm, _, _| ids.push(vm.0)).unwrap(), 3);
        assert_eq!(ids, (0..1001).collect::<Vec<_>>());
        let starts = |asked: Vec<(String, Vec<String>)>| {
            let rest = ["<i4>-500</i4>", "<i4>-1</i4>"].map(str::to_owned);
            assert!(asked.iter().all(|(_, params)| params[0] == "<i4>-2</i4>" && params[2..] == rest), "{asked:?}");
            asked.into_iter().map(|(_, params)| params[1].clone()).collect::<Vec<_>>()
        };
        assert_eq!(starts(scripted.asked()), ["<i4>0</i4>", "<i4>500</i4>", "<i4>1000</i4>"]);
        let pool = |ids: std::ops::Range<i32>| {
            let vms: String = ids.map(|id| format!("<VM><ID>{id}</ID><NAME>n{}</NAME></VM>", id % 200)).collect();
            success(&format!("<VM_POOL>{vms}</VM_POOL>"))
        };
        scripted.answer("one.vmpool.infoextended", &[pool(0..500), pool(500..601)]);
        let found: Vec<i32> = oned.vms_called("n0").unwrap().iter().map(|vm| vm.id.0).collect();
        assert_eq!(found, [0, 200, 400, 600]);
        assert_eq!(starts(scripted.asked()), ["<i4>0</i4>", "<i4>500</i4>"]);
    }

    #[test]
    fn who_asks_too_late_or_nobody_is_told_so() {
        let scripted = Scripted::start();
        let oned = scripted.client();
        let past = Instant::now();
        let error = oned.ask("one.x", &[], past, |_| Ok(())).unwrap_err();
        let address = scripted.client().transport.answer_error("one.x", closed(), &oned.credentials).to_string();
        assert!(error.to_string().contains("did not answer to the end within 20 s"), "{error}");
        assert!(scripted.asked().is_empty(), "nothing is sent then");
        assert!(address.contains("127.0.0.1:") && address.contains("closed it without an answer"), "{address}");
        let text = || "who is me:secret?".to_owned();
        let problem = crate::opennebula::xmlrpc::AnswerError::Refused { code: 1, text: text() };
        let error = oned.transport.answer_error("one.x", problem, &oned.credentials).to_string();
        assert!(!error.contains("secret") && error.starts_with("one.x: "), "{error}");
        assert!(oned.hosts(&mut |_| ()).unwrap_err().to_string().contains("broke off"));
    }

    fn closed() -> crate::opennebula::xmlrpc::AnswerError {
        crate::opennebula::xmlrpc::AnswerError::Io(std::io::ErrorKind::UnexpectedEof.into())
    }
}
