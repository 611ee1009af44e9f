//! Where OpenNebula lives on this machine: the folders of its packages, or one folder that
//! ONE_LOCATION names. Everything that has a default place has it here.

use std::path::{Path, PathBuf};

/// The folders of one OpenNebula.
#[derive(Clone, Debug)]
pub struct Installation {
    location: Option<PathBuf>,
}

impl Installation {
    /// That of this process.
    pub fn here() -> Self {
        Self { location: std::env::var_os("ONE_LOCATION").filter(|text| !text.is_empty()).map(PathBuf::from) }
    }

    fn place(&self, inside: &str, packaged: &str) -> PathBuf {
        self.location.as_ref().map_or_else(|| PathBuf::from(packaged), |location| location.join(inside))
    }

    /// Our configuration.
    pub fn config_file(&self) -> PathBuf {
        self.place("etc/schedulers/oneaio.conf", "/etc/one/schedulers/oneaio.conf")
    }

    /// What we keep: history, model, bundles of faults.
    pub fn home(&self) -> PathBuf {
        self.place("var/oneaio", "/var/lib/one/oneaio")
    }

    /// The default store of history.
    pub fn history(&self) -> PathBuf {
        self.home().join("history.db")
    }

    /// The default model of demands.
    pub fn model(&self) -> PathBuf {
        self.home().join("model.safetensors")
    }

    /// The program of another scheduler: `name` is that of its folder beside our wrappers, or a path.
    pub fn scheduler(&self, name: &str, action: &str) -> PathBuf {
        if name.starts_with('/') { PathBuf::from(name) } else { self.wrappers().with_file_name(name).join(action) }
    }

    /// Bundles of requests, where no other folder is named.
    pub fn bundles(&self) -> PathBuf {
        self.home().join("bundles")
    }

    /// Bundles of shadow mode, where no other folder is named.
    pub fn shadow(&self) -> PathBuf {
        self.home().join("shadow")
    }

    /// A copy of the configuration that was good last.
    pub fn last_good(&self) -> PathBuf {
        self.home().join("last-good.conf")
    }

    /// What node_exporter reads of decisions.
    pub fn metrics(&self) -> PathBuf {
        self.home().join("metrics/oneaio.prom")
    }

    /// Bundles of requests that met a fault.
    pub fn faults(&self) -> PathBuf {
        self.home().join("faults")
    }

    /// The default decision log.
    pub fn decision_log(&self) -> PathBuf {
        self.place("var/oneaio-decisions.log", "/var/log/one/oneaio-decisions.log")
    }

    /// oned's configuration.
    pub fn oned_conf(&self) -> PathBuf {
        self.place("etc/oned.conf", "/etc/one/oned.conf")
    }

    /// The configuration of mm_sched, of OpenNebula 6.
    pub fn sched_conf(&self) -> PathBuf {
        self.place("etc/sched.conf", "/etc/one/sched.conf")
    }

    /// The folder of our wrappers.
    pub fn wrappers(&self) -> PathBuf {
        self.place("var/remotes/scheduler/oneaio", "/var/lib/one/remotes/scheduler/oneaio")
    }
}

/// Whether the folder that would hold a file is there.
pub fn folder_exists(file: &Path) -> bool {
    file.parent().is_some_and(Path::is_dir)
}
