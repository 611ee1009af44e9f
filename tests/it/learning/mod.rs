//! Usage, estimates, classes and models.

mod estimates;
mod golden_idec;
mod golden_mc2pca;
mod history_helps;
mod idec;
mod import;
mod peaks;
mod train;
mod twins;
