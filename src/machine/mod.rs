//! What a process finds on the machine that it runs on: folders, settings, the clock, files.
//! It decides nothing and knows no command.
//!
//! | file | what it does |
//! |---|---|
//! | `installation` | where the things of one OpenNebula lie |
//! | `settings` | the settings of a run, from file, environment and command line |
//! | `clock` | seconds since 1970 |
//! | `files` | files that are written whole or not at all |
//! | `locks` | locks that outlive a thread which died with them |

pub mod clock;
pub mod files;
pub mod installation;
pub mod locks;
pub mod settings;
