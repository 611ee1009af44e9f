//! How a model is fitted, on the command line: `train` and `evaluate` take the same.

use crate::demand::classifier::{REGISTRY, kind};
use crate::demand::fitting::Options;
use crate::model::policy::Policy;
use clap::Args;

/// How to fit.
#[derive(Clone, Debug, Args)]
pub struct FittingArgs {
    /// The classifier: kmeans, mc2pca, ...; those of AI-Orchestrator do as well. Without it, the one of the
    /// configuration, or kmeans.
    #[arg(long, alias = "model", value_name = "NAME")]
    pub classifier: Option<String>,
    /// How many classes; without it the classifier chooses.
    #[arg(long, value_name = "COUNT")]
    pub classes: Option<usize>,
    /// A setting of the classifier, such as ncp=2. May be repeated.
    #[arg(long = "with", value_name = "KEY=NUMBER")]
    pub with: Vec<String>,
    /// For everything random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl FittingArgs {
    /// As options; what is no number is told.
    pub fn options(&self, policy: &Policy) -> Result<Options, String> {
        let mut settings = std::collections::BTreeMap::new();
        for pair in &self.with {
            let number = pair.split_once('=').and_then(|(key, value)| Some((key.trim(), value.trim().parse().ok()?)));
            let (key, value) = number.ok_or_else(|| format!("--with {pair}: wants KEY=NUMBER"))?;
            settings.insert(key.to_owned(), value);
        }
        let named = self.classifier.as_deref().or(policy.classifier).unwrap_or(REGISTRY[0].name);
        let classifier = kind(named).map_err(|error| error.to_string())?.name.to_owned();
        Ok(Options { classifier, classes: self.classes, settings, seed: self.seed })
    }
}
