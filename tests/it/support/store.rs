//! A real PostgreSQL: a private folder, a unix socket, never as root. Tests share a server and
//! have a database each; one that needs TLS or an extension has a server of its own.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::skip::skip;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// The tables of the ai-orchestrator's EnvServer, without an index on metrics, as it makes them.
pub const AI_ORCHESTRATOR_TABLES: &str = "
CREATE TABLE prod_hosts (hostid text PRIMARY KEY, stateid int, total_cpu double precision, total_mem double precision,
    usage_cpu double precision, usage_mem double precision, disk_read double precision, disk_write double precision,
    net_rx double precision, net_tx double precision, energy_usage double precision);
CREATE TABLE prod_vms (vmid text PRIMARY KEY, stateid int, deployed bool, hostid text, hoststateid int,
    total_cpu double precision, total_mem double precision, usage_cpu double precision, usage_mem double precision,
    disk_read double precision, disk_write double precision, net_rx double precision, net_tx double precision);
CREATE TABLE prod_metrics (id text, type int, ts timestamptz, cpu double precision, memory double precision,
    disk_read double precision, disk_write double precision, net_rx double precision, net_tx double precision,
    energy_usage double precision);
";

/// A running server; stopped and removed when dropped.
pub struct Server {
    process: Child,
    folder: PathBuf,
    /// What it was started with.
    arguments: Vec<OsString>,
    /// Where it listens with TLS, if it does.
    pub port: Option<u16>,
}

/// Where Debian keeps initdb and postgres, or the PATH.
fn program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|v| v.path().join("bin").join(name)).filter(|p| p.is_file()).collect();
    found.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.pop().or_else(|| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file()))
}

fn spawn(postgres: &Path, arguments: &[OsString]) -> Child {
    unprivileged(postgres).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A command that runs without root's rights, which PostgreSQL refuses.
fn unprivileged(program: &Path) -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
    command
}

impl Server {
    /// Starts one; `None`, said aloud, where PostgreSQL is not installed. With `ONEAIO_TIMESCALEDB` set, all
    /// its databases have TimescaleDB.
    pub fn start() -> Option<Self> {
        if std::env::var_os("ONEAIO_TIMESCALEDB").is_none() {
            return Self::start_as(false, &[]);
        }
        let server = Self::start_with_timescaledb(&[])?;
        for database in ["template1", "postgres"] {
            let address = server.address().replace("dbname=postgres", &format!("dbname={database}"));
            let mut client = postgres::Client::connect(&address, postgres::NoTls).unwrap();
            client.batch_execute("CREATE EXTENSION timescaledb").unwrap();
        }
        Some(server)
    }

    /// One that also listens on 127.0.0.1 with a certificate for `localhost`, signed by a
    /// CA of its own; clients over TCP must come with TLS.
    pub fn start_with_tls() -> Option<Self> {
        Self::start_as(true, &[])
    }

    /// One with TimescaleDB and more settings; `None`, said aloud, where it is not installed.
    pub fn start_with_timescaledb(settings: &[&str]) -> Option<Self> {
        let config = Command::new("pg_config").arg("--sharedir").output().ok();
        let share = config.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        if !Path::new(&share).join("extension/timescaledb.control").is_file() {
            skip("timescaledb", "TimescaleDB is not installed");
            return None;
        }
        let loaded = ["-c", "shared_preload_libraries=timescaledb", "-c", "timescaledb.telemetry_level=off"];
        Self::start_as(false, &[&loaded[..], settings].concat())
    }

    /// The certificate of the CA.
    pub fn root(&self) -> String {
        self.folder.join("ca.crt").display().to_string()
    }

    fn start_as(tls: bool, settings: &[&str]) -> Option<Self> {
        let (Some(initdb), Some(postgres)) = (program("initdb"), program("postgres")) else {
            skip("postgresql", "PostgreSQL is not installed");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap().keep();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let data = folder.join("data");
        let made = unprivileged(&initdb)
            .args(["--no-sync", "-A", "trust", "-U", "oneaio", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut arguments: Vec<OsString> = Vec::new();
        let port = tls.then(|| {
            certify(&folder);
            std::fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all all trust\n").unwrap();
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            for (name, file) in
                [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key"), ("ssl_ca_file", "ca.crt")]
            {
                arguments.extend(["-c".into(), format!("{name}={}", folder.join(file).display()).into()]);
            }
            let port_text = port.to_string();
            arguments
                .extend(["-c", "ssl=on", "-c", "listen_addresses=127.0.0.1", "-p", &port_text].map(OsString::from));
            port
        });
        if port.is_none() {
            arguments.extend(["-c", "listen_addresses="].map(OsString::from));
        }
        arguments.extend(["-D".into(), data.into(), "-k".into(), folder.clone().into()]);
        arguments.extend(["-c", "fsync=off", "-c", "timezone=UTC"].map(OsString::from));
        arguments.extend(settings.iter().map(OsString::from));
        Some(Self { process: spawn(&postgres, &arguments), folder, arguments, port }.when_there())
    }

    /// The process that all others of the server belong to.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Starts it again after its process was killed.
    pub fn revive(mut self) -> Self {
        self.process.wait().unwrap();
        // what is left of it holds its memory for a moment
        while std::os::unix::net::UnixStream::connect(self.socket()).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let postgres = program("postgres").unwrap();
        for _ in 0..100 {
            self.process = spawn(&postgres, &self.arguments);
            std::thread::sleep(Duration::from_millis(100));
            if self.process.try_wait().unwrap().is_none() {
                return self.when_there();
            }
        }
        panic!("PostgreSQL did not start again");
    }

    /// For `history.store`.
    pub fn address(&self) -> String {
        let port = self.port.unwrap_or(5432);
        format!("host={} port={port} user=oneaio dbname=postgres", self.folder.display())
    }

    /// The file of its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{}", self.port.unwrap_or(5432)))
    }

    /// A standby of it, which follows and may only be read.
    pub fn standby(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap().keep();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let data = folder.join("data");
        let copied = unprivileged(&program("pg_basebackup").unwrap())
            .args([
                "-h",
                &self.folder.display().to_string(),
                "-U",
                "oneaio",
                "-R",
                "--no-sync",
                "--checkpoint=fast",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "timezone=UTC"];
        let mut arguments: Vec<OsString> = settings.map(OsString::from).into();
        if std::env::var_os("ONEAIO_TIMESCALEDB").is_some() {
            arguments.extend(["-c", "shared_preload_libraries=timescaledb"].map(OsString::from));
        }
        arguments.extend(["-D".into(), data.into(), "-k".into(), folder.clone().into()]);
        Self { process: spawn(&program("postgres").unwrap(), &arguments), folder, arguments, port: None }.when_there()
    }

    fn when_there(self) -> Self {
        for _ in 0..600 {
            if postgres::Client::connect(&self.address(), postgres::NoTls).is_ok() {
                return self;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("PostgreSQL did not start");
    }

    /// From now on clients over TCP come in with a certificate only; the one that the CA has signed
    /// for `oneaio`, and its key.
    pub fn require_certificate(&self) -> (String, String) {
        std::fs::write(self.folder.join("data/pg_hba.conf"), "local all all trust\nhostssl all all all cert\n")
            .unwrap();
        self.client().batch_execute("SELECT pg_reload_conf()").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        ["client.crt", "client.key"].map(|name| self.folder.join(name).display().to_string()).into()
    }

    /// From now on this role comes in with its password only.
    pub fn require_password(&self, role: &str) {
        let rules = format!("local all {role} scram-sha-256\nlocal all all trust\n");
        std::fs::write(self.folder.join("data/pg_hba.conf"), rules).unwrap();
        self.client().batch_execute("SELECT pg_reload_conf()").unwrap();
        // the server has taken it when it asks for the password; the client has none to give
        let address = self.address().replace("user=oneaio", &format!("user={role}"));
        let asks = || {
            let refused = postgres::Client::connect(&address, postgres::NoTls).err();
            refused.is_some_and(|error| format!("{error:?}").contains("password"))
        };
        assert!(
            (0..1000).any(|_| asks() || {
                std::thread::sleep(Duration::from_millis(10));
                false
            }),
            "no password is asked for"
        );
    }

    /// A plain connection.
    pub fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.address(), postgres::NoTls).unwrap()
    }
}

/// pgbouncer in transaction mode, with one connection to a server that all its clients share;
/// stopped when dropped.
pub struct Pool {
    process: Child,
    folder: PathBuf,
}

/// Where it listens, beside the server.
const POOL_PORT: u16 = 6432;

impl Pool {
    /// Starts one; `None`, said aloud, where pgbouncer is not installed.
    pub fn start(server: &Server) -> Option<Self> {
        let found = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(PathBuf::from).into_iter().find(|p| p.is_file());
        let Some(pgbouncer) = found else {
            skip("pgbouncer", "pgbouncer is not installed");
            return None;
        };
        let folder = server.folder.clone();
        let settings = format!(
            "[databases]\npostgres = host={0} port=5432 user=oneaio\n[pgbouncer]\nlisten_addr =\n\
             unix_socket_dir = {0}\nlisten_port = {POOL_PORT}\npool_mode = transaction\nauth_type = any\n\
             default_pool_size = 1\nmax_client_conn = 100\nlogfile = {0}/pgbouncer.log\npidfile = {0}/pgbouncer.pid\n",
            folder.display()
        );
        let file = folder.join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let process = unprivileged(&pgbouncer).arg("-q").arg(&file).stderr(Stdio::null()).spawn().unwrap();
        let pool = Self { process, folder };
        for _ in 0..200 {
            if postgres::Client::connect(&pool.address(), postgres::NoTls).is_ok() {
                return Some(pool);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!(
            "pgbouncer did not start: {}",
            std::fs::read_to_string(pool.folder.join("pgbouncer.log")).unwrap_or_default()
        );
    }

    /// For `history.store`.
    pub fn address(&self) -> String {
        format!("host={} port={POOL_PORT} user=oneaio dbname=postgres", self.folder.display())
    }

    /// A plain connection.
    pub fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.address(), postgres::NoTls).unwrap()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A CA and a certificate for `localhost`, by openssl, owned by the server's user.
fn certify(folder: &Path) {
    let openssl = |arguments: &str| {
        let output =
            unprivileged(Path::new("openssl")).args(arguments.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(folder.join("san"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=test-ca -days 2");
    openssl("req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost");
    openssl("req -newkey rsa:2048 -nodes -keyout client.key -out client.csr -subj /CN=oneaio");
    openssl("x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out client.crt -days 2 -extfile san");
    openssl("x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile san");
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An empty database of a test's own, on the server that all tests share. The server ends
/// with the last of its databases. Roles belong to the server: their names stand once.
pub struct Database {
    server: Arc<Server>,
    name: String,
}

impl Database {
    /// `None`, said aloud, where PostgreSQL is not installed.
    pub fn create() -> Option<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let server = {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            match shared.upgrade() {
                Some(server) => server,
                None => {
                    let server = Arc::new(Server::start()?);
                    *shared = Arc::downgrade(&server);
                    server
                }
            }
        };
        let name = format!("test{}", CREATED.fetch_add(1, Ordering::Relaxed));
        server.client().batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        Some(Self { server, name })
    }

    /// For `history.store`.
    pub fn address(&self) -> String {
        self.server.address().replace("dbname=postgres", &format!("dbname={}", self.name))
    }

    /// Its name, after `dbname=`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's unix socket.
    pub fn socket(&self) -> PathBuf {
        self.server.socket()
    }

    /// From now on this role comes in with its password only.
    pub fn require_password(&self, role: &str) {
        self.server.require_password(role);
    }

    /// A plain connection.
    pub fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.address(), postgres::NoTls).unwrap()
    }
}
