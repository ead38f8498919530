//! Makes plain WGSL of a file.

use super::form::Form;
use super::lex::{Kind, Token, tokens};
use super::library::Library;
use super::lines::has_directive;
use super::map::{SourceMap, line_column, offset_of};
use super::modules::Modules;
use super::texts::{Fault, Text, Texts};
use super::values::Values;
use super::{link, repair, template};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::PathBuf,
    sync::Arc,
};

/// A fault with its place in a file.
#[derive(Clone, Debug)]
pub(in crate::check) struct Located {
    pub rule: &'static str,
    pub message: String,
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub end: Option<(u32, u32)>,
}

/// What a file is checked with.
pub(in crate::check) struct Request<'a> {
    pub library: &'a Library,
    pub text: Arc<Text>,
    pub preludes: &'a [Prelude],
    pub constants: &'a BTreeMap<String, String>,
    /// Whether values that the host gives are assumed where they are missing.
    pub is_assuming: bool,
}

/// A file that is put in front of those that use what it declares.
#[derive(Debug)]
pub(in crate::check) struct Prelude {
    pub text: Arc<Text>,
    names: HashSet<String>,
}

impl Prelude {
    /// A prelude from its text, which may import and include.
    pub fn new(library: &Library, text: Arc<Text>) -> Self {
        let mut modules = Modules::new(library, Values::new());
        let _ = modules.add(text.clone(), &[]);
        let names = modules.all.first().map(|module| module.names.keys().cloned().collect());
        Prelude { text, names: names.unwrap_or_default() }
    }
}

/// A file as plain WGSL.
#[derive(Clone)]
pub(in crate::check) struct Prepared {
    pub wgsl: String,
    /// `None` where the text is that of the file.
    pub map: Option<SourceMap>,
    pub form: Form,
    /// Names that conditions of the file read, with what they are compared with.
    pub names: Vec<(String, Option<String>)>,
    pub faults: Vec<Located>,
    /// What was assumed.
    pub notes: Vec<String>,
    /// Files that it includes as text.
    pub included: BTreeSet<PathBuf>,
    pub texts: Texts,
}

/// Makes plain WGSL of a file under the definitions `values`.
pub(in crate::check) fn prepare(request: &Request<'_>, values: &Values) -> Prepared {
    let text = &request.text;
    let is_other = |prelude: &&Prelude| prelude.text.path != text.path;
    let preludes: Vec<_> = if request.preludes.is_empty() {
        Vec::new()
    } else {
        let words = words_of(&text.text);
        let has = |name: &String| words.contains(name.as_str());
        let own = Prelude::new(request.library, text.clone());
        let needed = |prelude: &&Prelude| {
            prelude.names.iter().any(|name| has(name) && !own.names.contains(name))
        };
        request
            .preludes
            .iter()
            .filter(is_other)
            .filter(needed)
            .map(|one| one.text.clone())
            .collect()
    };
    let markers = template::markers(&text.text);
    if preludes.is_empty() && markers.is_empty() && !is_dialect(&text.text) {
        return plain(text);
    }
    let mut notes = Vec::new();
    let mut form = Form::Plain;
    let mut root = text.clone();
    if !markers.is_empty() {
        form = Form::Template;
        match template::filled(&text.text, &markers, values) {
            Ok(filled) => {
                root = Arc::new(Text::new(text.path.clone(), filled));
            }
            Err((at, message)) => {
                let mut prepared = plain(text);
                prepared.form = form;
                let (line, column) = line_column(&text.text, at).unwrap_or((1, 1));
                prepared.faults.push(Located {
                    rule: "template",
                    message,
                    file: text.path.display().to_string(),
                    line,
                    column,
                    end: None,
                });
                return prepared;
            }
        }
    }
    let mut modules = Modules::new(request.library, values.clone());
    if !preludes.is_empty() {
        modules.form = Form::Prelude;
    }
    if let Err(reason) = modules.add(root.clone(), &preludes) {
        let token = Token { kind: Kind::Word, file: 0, start: 0, end: 0 };
        modules.fault("import", token, reason);
    }
    let mut linked = link::link(&mut modules, request.constants);
    let mut faults: Vec<Located> =
        modules.faults.iter().map(|fault| located(&modules.texts, fault)).collect();
    if !request.is_assuming && !linked.constants.is_empty() {
        let names = linked.constants.join(", ");
        faults.push(Located {
            rule: "import",
            message: format!(
                "the host gives `constants::{names}`, and no value is given; saliq's own kernels \
                 get theirs when they are linked: check those with `saliq check` without a path"
            ),
            file: text.path.display().to_string(),
            line: 1,
            column: 1,
            end: None,
        });
    }
    for name in &linked.constants {
        notes.push(format!(
            "`constants::{name}` is given by the host: a value was assumed; give the \
             constant {name}"
        ));
    }
    for name in &linked.markers {
        notes.push(format!("`#{{{name}}}` has no value: one was assumed; give -D {name}=VALUE"));
    }
    if form == Form::Plain {
        form = modules.form;
    }
    linked.map.texts = modules.texts.clone();
    Prepared {
        wgsl: linked.wgsl,
        map: Some(linked.map),
        form,
        names: modules.names,
        faults,
        notes,
        included: modules.included,
        texts: modules.texts,
    }
}

/// A file as it is.
pub(in crate::check) fn plain(text: &Arc<Text>) -> Prepared {
    let mut texts = Texts::default();
    texts.add(text.clone());
    Prepared {
        wgsl: text.text.clone(),
        map: None,
        form: Form::Plain,
        names: Vec::new(),
        faults: Vec::new(),
        notes: Vec::new(),
        included: BTreeSet::new(),
        texts,
    }
}

fn located(texts: &Texts, fault: &Fault) -> Located {
    let file = texts.files.get(fault.token.file as usize);
    let text = file.map_or("", |file| file.text.as_str());
    let (line, column) = line_column(text, fault.token.start as usize).unwrap_or((1, 1));
    Located {
        rule: fault.rule,
        message: fault.message.clone(),
        file: file.map(|file| file.path.display().to_string()).unwrap_or_default(),
        line,
        column,
        end: line_column(text, fault.token.end as usize),
    }
}

fn words_of(text: &str) -> HashSet<&str> {
    let mut all = Vec::new();
    tokens(text, 0, 0..text.len(), &mut all);
    all.iter().filter(|token| token.kind == Kind::Word).map(|token| &text[token.range()]).collect()
}

/// Whether a text has what only a dialect has. Comments do not count.
fn is_dialect(text: &str) -> bool {
    let hints = ["::", "import", "@if", "@ if", "@elif", "@else", "#"];
    if !hints.iter().any(|hint| text.contains(hint)) {
        return false;
    }
    if has_directive(text) {
        return true;
    }
    let mut all = Vec::new();
    tokens(text, 0, 0..text.len(), &mut all);
    let word = |at: usize| all.get(at).map_or("", |token: &Token| &text[token.range()]);
    all.iter().enumerate().any(|(at, token)| match token.kind {
        Kind::Path | Kind::Marker => true,
        Kind::Symbol(b'@') => matches!(word(at + 1), "if" | "elif" | "else"),
        Kind::Word => word(at) == "import" && (at == 0 || matches!(word(at - 1), ";" | "}" | ")")),
        _ => false,
    })
}

impl Prepared {
    /// The same with a text in front, which belongs to no file.
    pub(in crate::check) fn behind(&self, front: &str) -> Self {
        let mut map = match &self.map {
            Some(map) => map.clone(),
            None => {
                let mut map = SourceMap::default();
                map.push(0, 0, 0);
                map.texts = self.texts.clone();
                map
            }
        };
        map.shift(front.len());
        Prepared { wgsl: format!("{front}{}", self.wgsl), map: Some(map), ..self.clone() }
    }

    /// Definitions with which a name is declared that is missing with `values`.
    pub(in crate::check) fn repaired(
        &self,
        name: &str,
        is_member: bool,
        values: &Values,
        given: &Values,
    ) -> Vec<Values> {
        repair::repaired(&self.texts, name, is_member, values, given)
    }

    /// Definitions that change what the file imports and nothing in it: each name that conditions
    /// of imported files read, and all of them.
    pub(in crate::check) fn of_imports(&self, values: &Values, most: usize) -> Vec<Values> {
        let names = repair::read_by_imports(&self.texts, &self.names, values);
        let with = |names: &[(String, Option<String>)]| {
            let mut changed = values.clone();
            for (name, compared) in names {
                changed.insert(name.clone(), compared.clone().unwrap_or_default());
            }
            changed
        };
        let mut all: Vec<_> =
            names.iter().take(most - 1).map(|one| with(std::slice::from_ref(one))).collect();
        if names.len() > 1 {
            all.push(with(&names));
        }
        all
    }

    /// Definitions with which a function returns where it does not with `values`.
    pub(in crate::check) fn returning(
        &self,
        name: &str,
        values: &Values,
        given: &Values,
    ) -> Vec<Values> {
        repair::returning(&self.texts, name, values, given)
    }

    /// The names of the members that a structure has under any condition.
    pub(in crate::check) fn members(&self, name: &str) -> Vec<String> {
        repair::members(&self.texts, name)
    }

    /// Whether a name is declared under a condition.
    pub(in crate::check) fn is_conditional(&self, name: &str) -> bool {
        repair::is_conditional(&self.texts, name)
    }

    /// Whether the declaration at a place of a file depends on conditions or holds some.
    pub(in crate::check) fn has_conditions(&self, file: &str, line: u32, column: u32) -> bool {
        let files = &self.texts.files;
        let Some(number) = files.iter().position(|own| own.path.display().to_string() == file)
        else {
            return false;
        };
        offset_of(&files[number].text, line, column)
            .is_some_and(|offset| repair::has_conditions(&self.texts, number, offset))
    }
}
