//! The forms, by name.

use serde::Serialize;

/// The form of a file, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// WGSL.
    #[default]
    Plain,
    /// Imports, paths and `@if` of WESL.
    Wesl,
    /// `#import a::b`, `#define_import_path`, `#{…}`.
    NagaOil,
    /// `#import name` of a file in `shared`.
    Vello,
    /// `#import <path>`.
    Rerun,
    /// `#include "path"`, `#import "path"`.
    Include,
    /// `#ifdef` and `#define` alone.
    Conditions,
    /// With a prelude in front.
    Prelude,
    /// `{{…}}`, `${…}` or `<%…%>`.
    Template,
}

impl Form {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Form::Plain => "plain",
            Form::Wesl => "wesl",
            Form::NagaOil => "naga-oil",
            Form::Vello => "vello",
            Form::Rerun => "rerun",
            Form::Include => "include",
            Form::Conditions => "conditions",
            Form::Prelude => "prelude",
            Form::Template => "template",
        }
    }

    /// The more telling of two forms: conditions are part of most.
    pub(super) fn or(self, other: Form) -> Form {
        match self {
            Form::Plain | Form::Conditions | Form::Prelude => other,
            Form::Template if other != Form::Conditions => other,
            _ => self,
        }
    }
}
