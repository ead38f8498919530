//! The modules of one shader: read, freed of conditions, split into declarations and imports.

use super::conditions;
use super::directives::{Piece, split};
use super::form::Form;
use super::imports::{self, Import};
use super::lex::{Kind, Token, tokens};
use super::library::{Library, normal};
use super::syntax::{behind_attributes, statement_end};
use super::texts::{Fault, Text, Texts};
use super::values::Values;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Largest number of modules of one shader.
const MAX_MODULES: usize = 100;
/// Largest size in bytes of all modules of one shader.
const MAX_BYTES: usize = 16 << 20;
/// Largest number of tokens of one shader.
const MAX_TOKENS: usize = 4 << 20;
/// Deepest chain of files that include each other.
const MAX_INCLUDES: usize = 64;

/// A declaration, or what is not one.
#[derive(Debug)]
pub(super) struct Declaration {
    /// Its name; none for a `const_assert`.
    pub name: Option<String>,
    pub keyword: Keyword,
    pub tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Keyword {
    Function,
    Struct,
    Override,
    Assertion,
    Other,
}

#[derive(Debug, Default)]
pub(super) struct Module {
    pub path: PathBuf,
    pub declarations: Vec<Declaration>,
    /// `enable`, `requires` and `diagnostic`.
    pub directives: Vec<Vec<Token>>,
    pub imports: Vec<Import>,
    /// Numbers of declarations by name, and of imports by alias.
    pub names: HashMap<String, Vec<usize>>,
    pub aliases: HashMap<String, usize>,
    /// Whether it is one of naga_oil.
    pub is_oil: bool,
}

/// What the modules of a shader are read into.
pub(super) struct Modules<'a> {
    pub library: &'a Library,
    pub texts: Texts,
    pub all: Vec<Module>,
    by_path: HashMap<PathBuf, usize>,
    pub faults: Vec<Fault>,
    /// Definitions; `#define` adds to them.
    pub values: Values,
    /// Names that the conditions of the root read, and of all modules.
    pub names: Vec<(String, Option<String>)>,
    pub all_names: BTreeSet<String>,
    /// Definitions of files that stand for their names, as those of C do.
    pub macros: Values,
    pub form: Form,
    /// Files that were included as text.
    pub included: BTreeSet<PathBuf>,
    bytes: usize,
    tokens: usize,
}

impl<'a> Modules<'a> {
    pub fn new(library: &'a Library, values: Values) -> Self {
        Modules {
            library,
            texts: Texts::default(),
            all: Vec::new(),
            by_path: HashMap::new(),
            faults: Vec::new(),
            values,
            names: Vec::new(),
            all_names: BTreeSet::new(),
            macros: Values::new(),
            form: Form::Plain,
            included: BTreeSet::new(),
            bytes: 0,
            tokens: 0,
        }
    }

    pub fn fault(&mut self, rule: &'static str, token: Token, message: impl Into<String>) {
        if self.faults.len() < 16 {
            self.faults.push(Fault { rule, token, message: message.into() });
        }
    }

    /// The number of the module in a file, read if it is new.
    pub fn load(&mut self, path: &Path) -> Result<usize, String> {
        if let Some(&known) = self.by_path.get(path) {
            return Ok(known);
        }
        let text = self.library.read(path)?;
        self.add(text, &[])
    }

    /// Adds a module; `preludes` are put in front of it.
    pub fn add(&mut self, text: Arc<Text>, preludes: &[Arc<Text>]) -> Result<usize, String> {
        if self.all.len() >= MAX_MODULES || self.bytes > MAX_BYTES {
            return Err("too many or too large imports for one shader".into());
        }
        let number = self.all.len();
        self.by_path.insert(text.path.clone(), number);
        let mut module = Module { path: text.path.clone(), ..Module::default() };
        self.all.push(Module::default());
        let mut flat = Vec::new();
        let mut once = HashSet::from([text.path.clone()]);
        for prelude in preludes {
            self.flatten(prelude.clone(), &mut module, &mut flat, &mut once, 0);
        }
        self.flatten(text, &mut module, &mut flat, &mut once, 0);
        let mut names = Vec::new();
        let has_conditions = flat.windows(2).any(|pair| {
            pair[0].is(b'@') && matches!(self.texts.of(pair[1]), "if" | "elif" | "else")
        });
        let kept = if has_conditions {
            self.form = self.form.or(Form::Wesl);
            match conditions::apply(&self.texts, &flat, &self.values, &mut names) {
                Ok(kept) => kept,
                Err(fault) => {
                    self.fault("condition", fault.token, fault.message);
                    Vec::new()
                }
            }
        } else {
            flat
        };
        self.read_names(number, names);
        self.declarations(kept, &mut module);
        for (index, declaration) in module.declarations.iter().enumerate() {
            if let Some(name) = &declaration.name {
                module.names.entry(name.clone()).or_default().push(index);
            }
        }
        for (index, import) in module.imports.iter().enumerate() {
            module.aliases.insert(import.alias.clone(), index);
        }
        self.all[number] = module;
        Ok(number)
    }

    fn read_names(&mut self, number: usize, names: Vec<(String, Option<String>)>) {
        for (name, compared) in names {
            self.all_names.insert(name.clone());
            if number == 0 {
                self.names.push((name, compared));
            }
        }
    }

    /// The tokens of a file with those that it includes as text.
    fn flatten(
        &mut self,
        text: Arc<Text>,
        module: &mut Module,
        flat: &mut Vec<Token>,
        once: &mut HashSet<PathBuf>,
        depth: usize,
    ) {
        self.bytes += text.text.len();
        let path = text.path.clone();
        let file = self.texts.number(&path).unwrap_or_else(|| self.texts.add(text.clone()));
        if let Some(cached) = text.tokens() {
            self.tokens += cached.len();
            if self.tokens <= MAX_TOKENS {
                flat.extend(cached.iter().map(|token| Token { file, ..*token }));
            }
            return;
        }
        let mut values = std::mem::take(&mut self.values);
        let before = values.clone();
        let pieces = split(&self.texts, file, &mut values);
        if values != before {
            self.form = self.form.or(Form::Conditions);
            let new = values.iter().filter(|(name, value)| {
                !value.is_empty() && !value.starts_with('(') && !before.contains_key(*name)
            });
            self.macros.extend(new.map(|(name, value)| (name.clone(), value.clone())));
        }
        self.values = values;
        if !pieces.names.is_empty() {
            self.form = self.form.or(Form::Conditions);
        }
        // What an included file reads is read by what includes it.
        let number = usize::from(self.all.len() > 1);
        self.read_names(number, pieces.names);
        let is_oil = pieces.module.is_some()
            || pieces.pieces.iter().any(|piece| matches!(piece, Piece::Import(_)));
        if !is_oil && self.form == Form::Conditions && self.all.len() == 1 {
            // Values given stand for names, as those that files define.
            let values = self.values.iter().filter(|(_, value)| !value.is_empty());
            self.macros.extend(values.map(|(name, value)| (name.clone(), value.clone())));
        }
        if pieces.module.is_some() {
            self.form = self.form.or(Form::NagaOil);
            module.is_oil = true;
        }
        let place = |range: &std::ops::Range<usize>| Token {
            kind: Kind::Word,
            file,
            start: range.start as u32,
            end: range.end as u32,
        };
        for (range, message) in pieces.faults {
            self.fault("condition", place(&range), message);
        }
        for piece in pieces.pieces {
            match piece {
                Piece::Text(range) => {
                    let before = flat.len();
                    if self.tokens <= MAX_TOKENS {
                        tokens(&text.text, file, range, flat);
                    }
                    self.tokens += flat.len() - before;
                }
                Piece::Include(range) => {
                    let name = text.text[range.clone()]
                        .trim()
                        .trim_end_matches(';')
                        .trim_matches(['"', '<', '>', '\'', ' ']);
                    self.form = self.form.or(Form::Include);
                    self.include(&path, name, place(&range), module, flat, once, depth);
                }
                Piece::Import(range) => {
                    let argument = text.text[range.clone()].trim().trim_end_matches(';').trim();
                    let place = place(&range);
                    if let Some(name) = argument.strip_prefix('<') {
                        self.form = self.form.or(Form::Rerun);
                        let name = name.split('>').next().unwrap_or_default();
                        self.include(&path, name, place, module, flat, once, depth);
                        continue;
                    }
                    let is_quoted = argument.starts_with('"')
                        && argument.ends_with('"')
                        && argument.matches('"').count() == 2;
                    if is_quoted {
                        self.form = self.form.or(Form::Include);
                        let name = argument.trim_matches('"');
                        self.include(&path, name, place, module, flat, once, depth);
                        continue;
                    }
                    let is_word = argument.bytes().all(super::lex::is_word);
                    if is_word
                        && !argument.is_empty()
                        && self.library.defined(&path, argument).is_none()
                        && let Some(file) = self.library.shared(&path, argument)
                    {
                        self.form = self.form.or(Form::Vello);
                        self.include_file(&file, place, module, flat, once, depth);
                        continue;
                    }
                    self.form = self.form.or(Form::NagaOil);
                    module.is_oil = true;
                    let mut all = Vec::new();
                    let end = range.start
                        + text.text[range.clone()].trim_end().trim_end_matches(';').len();
                    tokens(&text.text, file, range.start..end, &mut all);
                    match imports::parse(&self.texts, &all) {
                        Ok(found) => module.imports.extend(found),
                        Err((token, message)) => self.fault("import", token, message),
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one walk over files")]
    fn include(
        &mut self,
        from: &Path,
        name: &str,
        place: Token,
        module: &mut Module,
        flat: &mut Vec<Token>,
        once: &mut HashSet<PathBuf>,
        depth: usize,
    ) {
        let with_extension = format!("{name}.wgsl");
        let found = self.library.included(from, name);
        match found.or_else(|| self.library.included(from, &with_extension)) {
            Some(file) => self.include_file(&file, place, module, flat, once, depth),
            None => self.fault("import", place, format!("no such file: {name}")),
        }
    }

    fn include_file(
        &mut self,
        file: &Path,
        place: Token,
        module: &mut Module,
        flat: &mut Vec<Token>,
        once: &mut HashSet<PathBuf>,
        depth: usize,
    ) {
        let file = normal(file);
        self.included.insert(file.clone());
        // A file is included once: a second copy would declare everything twice.
        if !once.insert(file.clone()) {
            return;
        }
        if depth >= MAX_INCLUDES || once.len() > MAX_MODULES || self.bytes > MAX_BYTES {
            self.fault("import", place, "too many or too large imports for one shader");
            return;
        }
        match self.library.read(&file) {
            Ok(text) => self.flatten(text, module, flat, once, depth + 1),
            Err(reason) => self.fault("import", place, format!("{}: {reason}", file.display())),
        }
    }

    /// Splits tokens into directives, imports and declarations.
    fn declarations(&mut self, all: Vec<Token>, module: &mut Module) {
        let mut at = 0;
        while at < all.len() {
            let start = at;
            let mut behind = behind_attributes(&self.texts, &all, at);
            let word = |at: usize| all.get(at).map_or("", |token: &Token| self.texts.of(*token));
            // `@export` and `virtual` of dialects.
            let is_virtual = word(behind) == "virtual" && word(behind + 1) == "fn";
            behind += usize::from(is_virtual);
            let end = statement_end(&self.texts, &all, behind).max(behind + 1).min(all.len());
            at = end;
            let first = word(behind);
            let next = |at: usize| all.get(at).copied();
            let is_name = |at: usize| next(at).is_some_and(|token| token.kind == Kind::Word);
            let (keyword, name) = match first {
                "import"
                    if is_name(behind + 1)
                        || next(behind + 1)
                            .is_some_and(|t| t.is(b'{') || t.kind == Kind::Quoted) =>
                {
                    self.form = self.form.or(Form::Wesl);
                    let last = end - usize::from(all[end - 1].is(b';'));
                    match imports::parse(&self.texts, &all[(behind + 1).min(last)..last]) {
                        Ok(found) => module.imports.extend(found),
                        Err((token, message)) => self.fault("import", token, message),
                    }
                    continue;
                }
                "enable" | "requires" | "diagnostic" => {
                    module.directives.push(all[behind..end].to_vec());
                    continue;
                }
                "fn" => (Keyword::Function, behind + 1),
                "struct" => (Keyword::Struct, behind + 1),
                "override" if word(behind + 1) == "fn" => {
                    // naga_oil's replacement of a function of another module: only its code is
                    // checked.
                    let mut name = behind + 2;
                    while next(name + 1).is_some_and(|token| token.kind == Kind::Path) {
                        name += 2;
                    }
                    let mut tokens = vec![all[behind + 1]];
                    tokens.extend_from_slice(&all[name.min(end)..end]);
                    let name = is_name(name).then(|| word(name).to_owned());
                    module.declarations.push(Declaration {
                        name,
                        keyword: Keyword::Function,
                        tokens,
                    });
                    continue;
                }
                "override" => (Keyword::Override, behind + 1),
                "const" | "alias" | "let" => (Keyword::Other, behind + 1),
                "const_assert" => (Keyword::Assertion, all.len()),
                "var" => {
                    let mut name = behind + 1;
                    if next(name).is_some_and(|token| token.is(b'<')) {
                        while name < end && !all[name].is(b'>') {
                            name += 1;
                        }
                        name += 1;
                    }
                    (Keyword::Other, name)
                }
                _ => (Keyword::Other, all.len()),
            };
            let name = (name < end && is_name(name)).then(|| word(name).to_owned());
            let mut tokens = all[start..end].to_vec();
            if is_virtual {
                tokens.remove(behind - 1 - start);
            }
            module.declarations.push(Declaration { name, keyword, tokens });
        }
    }
}
