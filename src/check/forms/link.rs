//! Links a module with what it uses of others: names are made unique, everything else is copied.

use super::lex::{Kind, Token, closing};
use super::map::SourceMap;
use super::modules::{Keyword, Modules};
use super::values::name_of_marker;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque, hash_map::Entry};
use std::path::PathBuf;

/// Largest size of a linked shader in bytes.
const MAX_LINKED_BYTES: usize = 16 << 20;

/// What a path names.
enum Named {
    /// A declaration of a module.
    Declaration(usize, String),
    /// A constant of the host.
    Constant(String),
    /// Nothing that is known: the text stays.
    Nothing,
}

/// A linked shader.
pub(super) struct Linked {
    pub wgsl: String,
    pub map: SourceMap,
    /// Constants of the host that have no value.
    pub constants: Vec<String>,
    /// Names of `#{NAME}` that have none.
    pub markers: Vec<String>,
}

/// Links module 0 of `modules` with the constants of the host. Faults are added to `modules`.
pub(super) fn link(modules: &mut Modules, constants: &BTreeMap<String, String>) -> Linked {
    let mut loader = Loader { modules, places: HashMap::new() };
    loader.load_all();
    let places = loader.places;
    let mut linker = Linker {
        modules,
        places,
        constants,
        assumed: Vec::new(),
        markers: Vec::new(),
        used_constants: Vec::new(),
        names: HashMap::new(),
        taken: HashSet::new(),
        queue: VecDeque::new(),
        unqualified: HashMap::new(),
        out: String::new(),
        map: SourceMap::default(),
        last: None,
        faults: Vec::new(),
    };
    linker.run();
    let Linker { mut map, out, assumed, markers, faults, names, .. } = linker;
    for ((_, own), linked) in names {
        if own != linked {
            map.names.insert(linked, own);
        }
    }
    for (token, message) in faults {
        modules.fault("import", token, message);
    }
    map.texts = modules.texts.clone();
    Linked { wgsl: out, map, constants: assumed, markers }
}

/// Where a path of modules leads, by the module that names it.
type Places = HashMap<(usize, String), Result<usize, String>>;

struct Loader<'a, 'b> {
    modules: &'a mut Modules<'b>,
    places: Places,
}

impl Loader<'_, '_> {
    /// Reads every module that an import or a path names, and those that they name.
    fn load_all(&mut self) {
        let mut number = 0;
        while number < self.modules.all.len() {
            let imports = self.modules.all[number].imports.clone();
            for import in &imports {
                self.load_import(number, &import.path, import.token);
            }
            self.load_inline(number);
            number += 1;
        }
    }

    /// Loads the module of an import: the whole path, or all but the last part of it.
    fn load_import(&mut self, number: usize, path: &[String], token: Token) {
        let (item, folder) = (self.place(number, path), path.len() > 1);
        let parent = if folder { self.place(number, &path[..path.len() - 1]) } else { None };
        if item.is_none() && parent.is_none() && !is_constants(path) && number == 0 {
            let reason = self.reason(number, path);
            self.modules.fault("import", token, reason);
        }
    }

    fn reason(&self, number: usize, path: &[String]) -> String {
        let parent = &path[..path.len().saturating_sub(1).max(1)];
        let why = |path: &[String]| {
            let found = self.places.get(&(number, path.join("::")));
            found.and_then(|result| result.as_ref().err()).cloned()
        };
        let why = why(parent).or_else(|| why(path)).unwrap_or_default();
        format!("module not found: `{}` ({why})", parent.join("::"))
    }

    /// The module that a path names.
    fn place(&mut self, number: usize, path: &[String]) -> Option<usize> {
        let key = (number, path.join("::"));
        if let Some(known) = self.places.get(&key) {
            return known.as_ref().ok().copied();
        }
        let found = self.find(number, path).and_then(|file| self.modules.load(&file));
        let place = found.as_ref().ok().copied();
        self.places.insert(key, found);
        place
    }

    fn find(&self, number: usize, path: &[String]) -> Result<PathBuf, String> {
        let module = &self.modules.all[number];
        if let [file] = path
            && let Some(file) = file.strip_prefix('"')
        {
            let file = file.trim_end_matches('"');
            let quoted = format!("\"{file}\"");
            let found = self.modules.library.included(&module.path, file);
            let found = found.or_else(|| self.modules.library.defined(&module.path, &quoted));
            return found.ok_or_else(|| format!("no such file: {file}"));
        }
        let joined = path.join("::");
        if let Some(file) = self.modules.library.defined(&module.path, &joined) {
            return Ok(file);
        }
        if module.is_oil {
            let first = path.first().map_or("", String::as_str);
            let file = self.modules.library.module(&module.path, path);
            return file.map_err(|_| {
                format!(
                    "no file has `#define_import_path {joined}`; name the folder that has it, or \
                     give its folder (package {first}=DIR)"
                )
            });
        }
        self.modules.library.module(&module.path, path)
    }

    /// Loads the modules of paths in code.
    fn load_inline(&mut self, number: usize) {
        let mut paths: Vec<(Vec<String>, Token)> = Vec::new();
        let module = &self.modules.all[number];
        for declaration in &module.declarations {
            let tokens = &declaration.tokens;
            let mut at = 0;
            while at < tokens.len() {
                let (parts, next) = path_at(self.modules, tokens, at);
                if parts.len() > 1 {
                    let mut path = expanded(self.modules, number, &parts);
                    path.pop();
                    paths.push((path, tokens[at]));
                }
                at = next;
            }
        }
        paths.sort_by(|a, b| a.0.cmp(&b.0));
        paths.dedup_by(|a, b| a.0 == b.0);
        for (path, token) in paths {
            let found = self.place(number, &path).is_some();
            if !found && !is_constants(&path) && number == 0 {
                // The linker says it where it is used.
                let _ = token;
            }
        }
    }
}

fn is_constants(path: &[String]) -> bool {
    path.first().is_some_and(|first| first == "constants") && path.len() <= 2
}

/// The parts of the path at `at`, and the index behind it. A single word is a path of one part; any
/// other token one of none.
fn path_at(modules: &Modules, tokens: &[Token], at: usize) -> (Vec<String>, usize) {
    if tokens[at].kind != Kind::Word {
        return (Vec::new(), at + 1);
    }
    let mut end = at + 1;
    while tokens.get(end).is_some_and(|token| token.kind == Kind::Path)
        && tokens.get(end + 1).is_some_and(|token| token.kind == Kind::Word)
        && end - at < 200
    {
        end += 2;
    }
    if end == at + 1 {
        return (Vec::new(), end);
    }
    let parts = tokens[at..end].iter().step_by(2).map(|token| modules.texts.of(*token).to_owned());
    (parts.collect(), end)
}

/// A path with the import that its first part is.
fn expanded(modules: &Modules, number: usize, parts: &[String]) -> Vec<String> {
    let module = &modules.all[number];
    match parts.first().and_then(|first| module.aliases.get(first)) {
        Some(&import) => {
            let mut path = module.imports[import].path.clone();
            path.extend_from_slice(&parts[1..]);
            path
        }
        None => parts.to_vec(),
    }
}

struct Linker<'a, 'b> {
    modules: &'a Modules<'b>,
    places: Places,
    constants: &'a BTreeMap<String, String>,
    assumed: Vec<String>,
    markers: Vec<String>,
    used_constants: Vec<String>,
    /// Names in the linked text, by module and own name.
    names: HashMap<(usize, String), String>,
    taken: HashSet<String>,
    queue: VecDeque<(usize, usize)>,
    /// Modules that are imported as a whole, directly or not, by module.
    unqualified: HashMap<usize, Vec<usize>>,
    out: String,
    map: SourceMap,
    last: Option<Token>,
    faults: Vec<(Token, String)>,
}

impl Linker<'_, '_> {
    fn run(&mut self) {
        self.directives();
        let root = &self.modules.all[0];
        for name in root.names.keys() {
            self.taken.insert(name.clone());
            self.names.insert((0, name.clone()), name.clone());
        }
        for index in 0..root.declarations.len() {
            self.declaration(0, index);
        }
        while let Some((module, index)) = self.queue.pop_front() {
            if self.out.len() > MAX_LINKED_BYTES {
                break;
            }
            self.declaration(module, index);
        }
        for name in std::mem::take(&mut self.used_constants) {
            let value = match self.constants.get(&name) {
                Some(value) => value.clone(),
                None => {
                    let value = assumed_value(&name, self.assumed.len());
                    self.assumed.push(name.clone());
                    value
                }
            };
            self.out.push_str(&format!("\nconst {name}_constant = {value};"));
        }
    }

    /// Directives of all modules, each once.
    fn directives(&mut self) {
        let mut known = HashSet::new();
        let modules = self.modules;
        for directive in modules.all.iter().flat_map(|module| &module.directives) {
            let text: Vec<_> = directive.iter().map(|token| modules.texts.of(*token)).collect();
            if known.insert(text.join(" ")) {
                for &token in directive {
                    self.copy(token);
                }
                if !directive.last().is_some_and(|token| token.is(b';')) {
                    self.out.push(';');
                }
            }
        }
    }

    /// Copies a token with the white space in front of it.
    fn copy(&mut self, token: Token) {
        let modules = self.modules;
        self.space(token);
        self.map.push(self.out.len(), token.file, token.start);
        if token.kind == Kind::Marker {
            let name = name_of_marker(modules.texts.of(token));
            match modules.values.get(name) {
                Some(value) => self.out.push_str(if value.is_empty() { "true" } else { value }),
                None => {
                    let index = self.markers.iter().position(|known| known == name);
                    let index = index.unwrap_or_else(|| {
                        self.markers.push(name.to_owned());
                        self.markers.len() - 1
                    });
                    self.out.push_str(&assumed_value(name, index));
                }
            }
        } else if token.kind == Kind::Word
            && let Some(value) = modules.macros.get(modules.texts.of(token))
        {
            self.out.push_str(value);
        } else {
            self.out.push_str(modules.texts.of(token));
        }
    }

    /// The white space in front of a token: none where its file has none, so that what `#{…}` is
    /// part of stays one.
    fn space(&mut self, token: Token) {
        let is_joined =
            self.last.is_some_and(|last| last.file == token.file && last.end == token.start);
        if !is_joined {
            let breaks = self.last.is_none_or(|last| {
                last.is(b';') || last.is(b'{') || last.is(b'}') || last.is(b',')
            });
            self.out.push(if breaks { '\n' } else { ' ' });
        }
        self.last = Some(token);
    }

    fn put(&mut self, token: Token, text: &str) {
        self.space(token);
        self.map.push(self.out.len(), token.file, token.start);
        self.out.push_str(text);
    }

    /// What a path of `parts` names in module `number`.
    fn named(&mut self, number: usize, parts: &[String], token: Token) -> Named {
        let module = &self.modules.all[number];
        if let [name] = parts {
            if module.names.contains_key(name) {
                return Named::Declaration(number, name.clone());
            }
            if !module.aliases.contains_key(name) {
                return Named::Nothing;
            }
        }
        let path = expanded(self.modules, number, parts);
        let Some((item, folder)) = path.split_last() else { return Named::Nothing };
        match self.places.get(&(number, folder.join("::"))) {
            Some(Ok(place)) => {
                let place = *place;
                let target = &self.modules.all[place];
                if target.names.contains_key(item) {
                    return Named::Declaration(place, item.clone());
                }
                // What the other module imports itself.
                if let Some(&import) = target.aliases.get(item).filter(|_| place != number) {
                    let path = target.imports[import].path.clone();
                    if let Some((last, folder)) = path.split_last()
                        && let Some(Ok(place)) = self.places.get(&(place, folder.join("::")))
                        && self.modules.all[*place].names.contains_key(last)
                    {
                        return Named::Declaration(*place, last.clone());
                    }
                }
                self.faults.push((
                    token,
                    format!("module `{}` has no declaration `{item}`", folder.join("::")),
                ));
                Named::Nothing
            }
            _ if is_constants(&path) && path.len() == 2 => Named::Constant(item.clone()),
            found => {
                if let Some(Err(reason)) = found {
                    let folder = folder.join("::");
                    self.faults.push((token, format!("module not found: `{folder}` ({reason})")));
                }
                Named::Nothing
            }
        }
    }

    /// The module that declares a name, of those that a module of naga_oil imports as a whole: its
    /// older versions brought all names into scope.
    fn unqualified(&mut self, number: usize, name: &str) -> Option<usize> {
        let modules = self.modules;
        let places = &self.places;
        let known = self.unqualified.entry(number).or_insert_with(|| {
            let mut reached = vec![number];
            let mut next = 0;
            while next < reached.len() {
                let from = reached[next];
                for import in &modules.all[from].imports {
                    let place = places.get(&(from, import.path.join("::")));
                    if let Some(Ok(place)) = place
                        && !reached.contains(place)
                    {
                        reached.push(*place);
                    }
                }
                next += 1;
            }
            reached
        });
        known[1..].iter().find(|place| modules.all[**place].names.contains_key(name)).copied()
    }

    /// The name in the linked text of a declaration, which is linked too.
    fn name_of(&mut self, number: usize, name: &str) -> String {
        if let Some(known) = self.names.get(&(number, name.to_owned())) {
            return known.clone();
        }
        let modules = self.modules;
        let module = &modules.all[number];
        let indices = &module.names[name];
        let is_override =
            indices.iter().any(|&index| module.declarations[index].keyword == Keyword::Override);
        // Pipeline constants are set by their names.
        let unique = if is_override && self.taken.insert(name.to_owned()) {
            name.to_owned()
        } else {
            let mut unique = format!("{name}_m{number}");
            while !self.taken.insert(unique.clone()) {
                unique.push('m');
            }
            unique
        };
        self.names.insert((number, name.to_owned()), unique.clone());
        self.queue.extend(indices.iter().map(|&index| (number, index)));
        if let Entry::Vacant(first) = self.names.entry((number, String::new())) {
            // The first use of a module: its assertions hold for what it declares.
            first.insert(String::new());
            let assertions = module.declarations.iter().enumerate();
            let assertions = assertions.filter(|(_, one)| one.keyword == Keyword::Assertion);
            self.queue.extend(assertions.map(|(index, _)| (number, index)));
        }
        unique
    }

    /// Copies a declaration with the names of the linked text.
    fn declaration(&mut self, number: usize, index: usize) {
        let modules = self.modules;
        let declaration = &modules.all[number].declarations[index];
        let tokens = &declaration.tokens;
        let mut scopes = Scopes::default();
        // The end of the members of a structure or the parameters of a function, whose names stay.
        let mut members = 0..0;
        let mut has_parameters = declaration.keyword != Keyword::Function;
        let mut at = 0;
        while at < tokens.len() {
            let token = tokens[at];
            match token.kind {
                Kind::Symbol(b'@') => {
                    self.copy(token);
                    at += 1;
                    let Some(&name) = tokens.get(at) else { break };
                    let text = modules.texts.of(name);
                    let is_context = matches!(
                        text,
                        "builtin" | "interpolate" | "diagnostic" | "builtin_" | "early_depth_test"
                    );
                    self.copy(name);
                    at += 1;
                    if is_context && tokens.get(at).is_some_and(|token| token.is(b'(')) {
                        let end = closing(tokens, at);
                        for &token in &tokens[at..=end] {
                            self.copy(token);
                        }
                        at = end + 1;
                    }
                    continue;
                }
                Kind::Symbol(b'{') => {
                    if declaration.keyword == Keyword::Struct && members.end == 0 {
                        members = at..closing(tokens, at);
                    }
                    scopes.open();
                }
                Kind::Symbol(b'}') => scopes.close(),
                Kind::Symbol(b'(') => {
                    if !has_parameters {
                        has_parameters = true;
                        members = at..closing(tokens, at);
                    }
                    if at > 0 && modules.texts.is(tokens, at - 1, "for") {
                        scopes.open_loop(closing(tokens, at));
                    }
                }
                Kind::Symbol(b';') => scopes.declare(),
                Kind::Word => {
                    let text = modules.texts.of(token);
                    let is_member = at > 0 && tokens[at - 1].is(b'.');
                    let is_named = members.contains(&at)
                        && tokens.get(at + 1).is_some_and(|next| next.is(b':'));
                    if is_named && declaration.keyword == Keyword::Function {
                        scopes.parameter(text);
                    }
                    if !is_member && !is_named {
                        if matches!(text, "let" | "var" | "const") && scopes.is_inside() {
                            at = self.local(tokens, at, &mut scopes);
                            continue;
                        }
                        if text == "var" {
                            // The address space is no name of the module.
                            at = self.address_space(tokens, at);
                            continue;
                        }
                        at = self.word(number, tokens, at, &scopes);
                        scopes.end_loop(at);
                        continue;
                    }
                }
                _ => {}
            }
            self.copy(token);
            scopes.end_loop(at);
            at += 1;
        }
        if declaration.keyword != Keyword::Function
            && declaration.keyword != Keyword::Struct
            && number > 0
            && !tokens.last().is_some_and(|token| token.is(b';'))
        {
            self.out.push(';');
        }
    }

    /// Copies `let`, `var<…>` or `const` with the local name behind it.
    fn local(&mut self, tokens: &[Token], at: usize, scopes: &mut Scopes) -> usize {
        let next = self.address_space(tokens, at);
        let name = tokens.get(next).filter(|token| token.kind == Kind::Word);
        let Some(&name) = name else { return next };
        scopes.pending = Some(self.modules.texts.of(name).to_owned());
        self.copy(name);
        next + 1
    }

    fn address_space(&mut self, tokens: &[Token], at: usize) -> usize {
        self.copy(tokens[at]);
        let mut next = at + 1;
        if tokens.get(next).is_some_and(|token| token.is(b'<')) {
            while let Some(&token) = tokens.get(next) {
                self.copy(token);
                next += 1;
                if token.is(b'>') {
                    break;
                }
            }
        }
        next
    }

    /// Copies a word or a path, with the name that it has in the linked text.
    fn word(&mut self, number: usize, tokens: &[Token], at: usize, scopes: &Scopes) -> usize {
        let modules = self.modules;
        let token = tokens[at];
        let text = modules.texts.of(token);
        let is_path = tokens.get(at + 1).is_some_and(|token| token.kind == Kind::Path);
        if !is_path {
            let module = &modules.all[number];
            let is_known = module.names.contains_key(text) || module.aliases.contains_key(text);
            let is_local = scopes.has(text);
            if !is_known
                && !is_local
                && module.is_oil
                && let Some(place) = self.unqualified(number, text)
            {
                let name = self.name_of(place, text);
                self.put(token, &name);
                return at + 1;
            }
            if !is_known || is_local {
                self.copy(token);
                return at + 1;
            }
        }
        let (mut parts, end) = path_at(modules, tokens, at);
        if parts.is_empty() {
            parts.push(text.to_owned());
        }
        match self.named(number, &parts, token) {
            Named::Declaration(place, name) => {
                let name = self.name_of(place, &name);
                self.put(token, &name);
            }
            Named::Constant(name) => {
                if !self.used_constants.contains(&name) {
                    self.used_constants.push(name.clone());
                }
                self.put(token, &format!("{name}_constant"));
            }
            Named::Nothing => {
                for &token in &tokens[at..end] {
                    self.copy(token);
                }
            }
        }
        // What follows the path is joined to its last part.
        self.last = Some(tokens[end - 1]);
        end
    }
}

/// A value for a constant that is given by the host: a bind group, a binding, or a small number.
fn assumed_value(name: &str, count: usize) -> String {
    let upper = name.to_ascii_uppercase();
    if upper.contains("GROUP") && !upper.contains("SIZE") {
        "3".into()
    } else if upper.contains("BINDING") {
        (900 + count % 90).to_string()
    } else {
        "4".into()
    }
}

/// Names of parameters and variables that hide those of the module.
#[derive(Default)]
struct Scopes {
    names: Vec<String>,
    /// Numbers of names where scopes begin.
    starts: Vec<usize>,
    pending: Option<String>,
    /// Ends of the brackets of `for` loops whose bodies have not begun, and the depths of loops.
    headers: Vec<usize>,
    loops: Vec<usize>,
}

impl Scopes {
    fn is_inside(&self) -> bool {
        !self.starts.is_empty()
    }

    fn open(&mut self) {
        self.starts.push(self.names.len());
    }

    fn close(&mut self) {
        self.pending = None;
        if let Some(start) = self.starts.pop() {
            // Parameters of a function end with it alone.
            self.names.truncate(start);
        }
        // The scope of a `for` ends with its body.
        if self.loops.last() == Some(&self.starts.len()) {
            self.loops.pop();
            if let Some(start) = self.starts.pop() {
                self.names.truncate(start);
            }
        }
    }

    fn open_loop(&mut self, end: usize) {
        self.headers.push(end);
        self.open();
    }

    /// The body of a `for` begins behind its bracket.
    fn end_loop(&mut self, at: usize) {
        if self.headers.last() == Some(&at) {
            self.headers.pop();
            self.declare();
            self.loops.push(self.starts.len());
        }
    }

    fn declare(&mut self) {
        self.names.extend(self.pending.take());
    }

    fn parameter(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }
}
