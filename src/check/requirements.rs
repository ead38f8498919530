//! Arguments of `check` that say what a shader is checked for.

use std::{collections::BTreeMap, path::Path};

use clap::Args;

use super::{
    diagnostic::Platform,
    limits::DEFAULTS,
    options::CheckOptions,
    rules::{RULES, explain},
};
use crate::{Error, Result};

/// Targets, features and limits.
#[derive(Clone, Debug, Default, Args)]
pub struct RequirementArgs {
    /// Targets whose failures fail a shader [default: webgpu,vulkan,metal,dx12]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TARGET,…")]
    pub targets: Vec<Platform>,
    /// Limits of the device: `default`, NAME=VALUE,… or a TOML or JSON file of them; without it, a
    /// need of more than the defaults is only listed
    #[arg(long, value_delimiter = ',', value_name = "default|FILE|NAME=VALUE,…")]
    pub limits: Vec<String>,
    /// Features of the device, as `f16,subgroups`; without it, a need of one is only listed
    #[arg(long, value_delimiter = ',', num_args = 0.., value_name = "FEATURE,…")]
    pub features: Option<Vec<String>>,
    /// Needs (features, and names of limits) that a shader may have; any other one fails it
    #[arg(long, value_delimiter = ',', num_args = 0.., value_name = "NEED,…")]
    pub allow_needs: Option<Vec<String>>,
    /// Let spirv-val, glslangValidator, dxc and metal judge what is written, where they are there
    #[arg(long)]
    pub tools: bool,
    /// Explain a rule by its id, or list all rules with `all`, and check nothing
    #[arg(long, value_name = "RULE")]
    pub explain: Option<String>,
}

impl RequirementArgs {
    /// The options that the arguments stand for.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown limit or a value that is no number; [`Error::Io`] for a file
    /// that cannot be read.
    pub fn options(&self) -> Result<CheckOptions> {
        let mut options = CheckOptions::default();
        if !self.targets.is_empty() {
            options.targets.clone_from(&self.targets);
        }
        options.tools = self.tools;
        options.features.clone_from(&self.features);
        options.allowed_needs.clone_from(&self.allow_needs);
        if !self.limits.is_empty() {
            let mut limits = BTreeMap::new();
            for one in &self.limits {
                read_limit(one, &mut limits)?;
            }
            options.limits = Some(limits);
        }
        Ok(options)
    }

    /// The text that `--explain` asks for.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown rule.
    pub fn explanation(&self) -> Option<Result<String>> {
        let id = self.explain.as_deref()?;
        Some(explain(id).ok_or_else(|| {
            let near = RULES
                .iter()
                .map(|rule| (strsim::jaro_winkler(rule.id, id), rule.id))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = near
                .filter(|(score, _)| *score > 0.8)
                .map_or_else(|| "`all` lists them".to_owned(), |(_, id)| format!("is it {id}?"));
            Error::Usage(format!("there is no rule {id}; {hint}"))
        }))
    }
}

fn read_limit(text: &str, limits: &mut BTreeMap<String, u64>) -> Result<()> {
    if text == "default" {
        return Ok(());
    }
    if let Some((name, value)) = text.split_once('=') {
        let value = value.trim().parse().map_err(|_| {
            Error::Usage(format!("limits: {text}: {} is no whole number", value.trim()))
        })?;
        return insert(name.trim(), value, limits);
    }
    let path = Path::new(text);
    let content = std::fs::read_to_string(path).map_err(Error::io("cannot read", path))?;
    let wrong = |error: &dyn std::fmt::Display| {
        Error::Usage(format!("limits: {text}: they are NAME = VALUE: {error}"))
    };
    let table: BTreeMap<String, u64> = if content.trim_start().starts_with('{') {
        serde_json::from_str(&content).map_err(|error| wrong(&error))?
    } else {
        toml::from_str(&content).map_err(|error| wrong(&error))?
    };
    for (name, value) in table {
        insert(&name, value, limits)?;
    }
    Ok(())
}

fn insert(name: &str, value: u64, limits: &mut BTreeMap<String, u64>) -> Result<()> {
    if !DEFAULTS.iter().any(|(known, _)| *known == name) {
        let known: Vec<_> = DEFAULTS.iter().map(|(known, _)| *known).collect();
        return Err(Error::Usage(format!(
            "limits: there is no limit {name}; there are {}",
            known.join(", ")
        )));
    }
    limits.insert(name.to_owned(), value);
    Ok(())
}
