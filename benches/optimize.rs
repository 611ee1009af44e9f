//! Measures the whole `optimize` process on made-up clusters.
//!
//! `cargo bench --bench optimize -- 50x200 1000x20000` makes up an optimize request of each
//! size (hosts x running VMs, most of them on a third of the hosts) and runs `oneaio optimize`
//! with it; then, up to 300 hosts, `oneaio drain` for all of them in waves, with `spare: 1`. The table shows
//! CPU time (user + system), and D before and after, or how many waves it takes.
#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

const DEFAULT_SIZES: [&str; 2] = ["50x200", "1000x20000"];

/// Seconds since 1970.
const NOW: u64 = 1_795_444_863;

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let sizes = if asked.is_empty() { DEFAULT_SIZES.map(str::to_owned).to_vec() } else { asked };
    println!("| hosts x VMs | limit | XML MB | CPU s | migrations | outcome |\n|---:|---:|---:|---:|---:|---|");
    for size in sizes {
        // a thousand hosts one wave after another take more than ten minutes
        let all = size.split('x').next().and_then(|hosts| hosts.parse().ok()).is_some_and(|hosts: u32| hosts <= 300);
        for limit in if all { &["-1", "20", "drain"][..] } else { &["-1", "20"] } {
            match measure(&size, limit) {
                Ok(line) => println!("{line}"),
                Err(problem) => {
                    eprintln!("optimize: {size}: {problem}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}

fn measure(size: &str, limit: &str) -> io::Result<String> {
    let (hosts, vms) = size.split_once('x').ok_or_else(|| io::Error::other("a size is HOSTSxVMS"))?;
    let number = |text: &str| text.parse().map_err(io::Error::other);
    let drain = limit == "drain";
    let (hosts, vms): (u64, u64) = (number(hosts)?, number(vms)?);
    let xml = request(hosts, vms, if drain { "-1" } else { limit });
    let folder = std::env::temp_dir().join(format!("oneaio-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let outcome = if drain { waves(&xml, hosts, &folder) } else { run(&xml, &folder) };
    fs::remove_dir_all(&folder)?;
    let (cpu, migrations, summary) = outcome?;
    Ok(format!("| {size} | {limit} | {:.1} | {cpu:.2} | {migrations} | {summary} |", xml.len() as f64 / 1e6))
}

fn run(xml: &str, folder: &Path) -> io::Result<(f64, usize, String)> {
    let (request, messages) = (folder.join("request.xml"), folder.join("messages"));
    fs::write(&request, xml)?;
    let before = children()?;
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .args(["optimize", "5", "--set", "history.store=none"])
        .stdin(File::open(&request)?)
        .stderr(File::create(&messages)?)
        .stdout(Stdio::piped())
        .output()?;
    let cpu = children()? - before;
    let text = fs::read_to_string(&messages)?;
    let last = text.lines().last().unwrap_or("").trim_start_matches("INFO: ").to_owned();
    if !output.status.success() {
        return Err(io::Error::other(last));
    }
    Ok((cpu, String::from_utf8_lossy(&output.stdout).matches("<ACTION>").count(), last))
}

fn waves(xml: &str, hosts: u64, folder: &Path) -> io::Result<(f64, usize, String)> {
    let request = folder.join("request.xml");
    fs::write(&request, xml)?;
    let before = children()?;
    let names = (0..hosts).map(|host| host.to_string());
    let output = Command::new(env!("CARGO_BIN_EXE_oneaio"))
        .arg("drain")
        .args(names)
        .args(["--set", "history.store=none", "--set", "spare=1"])
        .stdin(File::open(&request)?)
        .stderr(Stdio::null())
        .output()?;
    let cpu = children()? - before;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary = text.lines().find(|line| line.contains("can be emptied in")).unwrap_or("(nothing)").to_owned();
    let count = summary.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|n| n.parse().ok());
    Ok((cpu, count.unwrap_or(0), summary))
}

/// CPU seconds of all children that have ended.
#[allow(unsafe_code)]
fn children() -> io::Result<f64> {
    // SAFETY: rusage is plain numbers, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live variable of the type that getrusage writes.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// A stream of numbers, always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

/// One cluster: hosts of 32 and 64 cores, VMs of 1 to 4 cores of which three in four begin on
/// the first third of the hosts.
fn request(hosts: u64, vms: u64, limit: &str) -> String {
    let mut random = Random(1);
    let ids = (0..hosts).map(|id| format!("<ID>{id}</ID>")).collect::<String>();
    let (mut pool, mut requirements) = (String::new(), String::new());
    let mut on: Vec<Vec<(u64, u64, u64, u64)>> = vec![Vec::new(); hosts as usize];
    for id in 0..vms {
        let reach = if random.below(4) == 0 { hosts } else { hosts / 3 };
        let (host, cores, load) = (random.below(reach), 1 + random.below(4), random.below(100));
        let (cpu, memory) = (cores * load, cores * 2048);
        let used = memory * 1024 / 2 + random.below(memory * 512);
        on[host as usize].push((id, cores, memory, cpu));
        let net = random.below(50_000_000);
        let _ = write!(
            pool,
            "<VM><ID>{id}</ID><NAME>vm{id}</NAME><STATE>3</STATE><LCM_STATE>3</LCM_STATE><RESCHED>0</RESCHED><MONITORING>\
             <CPU>{cpu}</CPU><CPU_FORECAST>{}</CPU_FORECAST><DISKRDBYTES>1</DISKRDBYTES><DISKWRBYTES>1</DISKWRBYTES>\
             <ID>{id}</ID><MEMORY>{used}</MEMORY><MEMORY_FORECAST>{used}</MEMORY_FORECAST><NETRX>1</NETRX><NETTX>1</NETTX>\
             <NETRX_BW>{net}</NETRX_BW><NETTX_BW>{net}</NETTX_BW><TIMESTAMP>{NOW}</TIMESTAMP></MONITORING><TEMPLATE>\
             <CPU>{cores}</CPU><MEMORY>{memory}</MEMORY></TEMPLATE><USER_TEMPLATE/><HISTORY_RECORDS><HISTORY><SEQ>0</SEQ>\
             <HID>{host}</HID><DS_ID>100</DS_ID><ACTION>0</ACTION></HISTORY></HISTORY_RECORDS></VM>",
            cpu + random.below(20)
        );
        let _ = write!(requirements, "<VM><ID>{id}</ID><HOSTS>{ids}</HOSTS><DATASTORES><ID>100</ID></DATASTORES></VM>");
    }
    let mut hosts_xml = String::new();
    for (id, here) in on.iter().enumerate() {
        let per_host = vms.div_ceil(hosts.max(1));
        let cores = if id % 4 == 0 { 64 } else { 32 } * per_host.div_ceil(8).max(1);
        let sum = |part: fn(&(u64, u64, u64, u64)) -> u64| here.iter().map(part).sum::<u64>();
        let list = here.iter().map(|(vm, ..)| format!("<ID>{vm}</ID>")).collect::<String>();
        let green = ["YES", "NO", "0.4"][id % 3];
        let _ = write!(
            hosts_xml,
            "<HOST><ID>{id}</ID><NAME>node{id}</NAME><STATE>2</STATE><CLUSTER_ID>5</CLUSTER_ID><HOST_SHARE><MEM_USAGE>{}\
             </MEM_USAGE><CPU_USAGE>{}</CPU_USAGE><MAX_MEM>{}</MAX_MEM><MAX_CPU>{}</MAX_CPU><RUNNING_VMS>{}</RUNNING_VMS>\
             </HOST_SHARE><VMS>{list}</VMS><TEMPLATE><ENERGY_RENEWABLE>{green}</ENERGY_RENEWABLE></TEMPLATE><MONITORING>\
             <TIMESTAMP>{NOW}</TIMESTAMP><CAPACITY><USED_CPU>{}</USED_CPU><USED_MEMORY>1048576</USED_MEMORY></CAPACITY>\
             </MONITORING></HOST>",
            sum(|vm| vm.2) * 1024,
            sum(|vm| vm.1) * 100,
            cores * 4 * 1024 * 1024,
            cores * 100,
            here.len(),
            sum(|vm| vm.3)
        );
    }
    format!(
        "<SCHEDULER_DRIVER_ACTION><VM_POOL>{pool}</VM_POOL><HOST_POOL>{hosts_xml}</HOST_POOL><DATASTORE_POOL><DATASTORE>\
         <ID>100</ID><NAME>system</NAME><TYPE>1</TYPE><CLUSTERS><ID>5</ID></CLUSTERS><TOTAL_MB>9000000</TOTAL_MB>\
         <FREE_MB>8000000</FREE_MB><USED_MB>1000000</USED_MB><TEMPLATE/></DATASTORE></DATASTORE_POOL><VNET_POOL/>\
         <VM_GROUP_POOL/><CLUSTER_POOL><CLUSTER><ID>5</ID><NAME>c</NAME><HOSTS>{ids}</HOSTS><TEMPLATE><ONE_DRS>\
         <MIGRATION_THRESHOLD>{limit}</MIGRATION_THRESHOLD><PREDICTIVE>0.3</PREDICTIVE></ONE_DRS></TEMPLATE></CLUSTER>\
         </CLUSTER_POOL><REQUIREMENTS>{requirements}</REQUIREMENTS></SCHEDULER_DRIVER_ACTION>"
    )
}
