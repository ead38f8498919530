//! What a combination of conditions lacks: a name that it uses may be declared under conditions
//! that it does not fulfil.

use super::conditions::{self, Dependence};
use super::directives;
use super::lex::{Kind, Token, closing, tokens};
use super::lines::has_directive;
use super::syntax::declaration_at;
use super::texts::Texts;
use super::values::{Values, evaluate};

/// Most names of one condition.
const MAX_NAMES: usize = 6;

/// A file's tokens, and the stretches of it that depend on conditions.
struct Scanned {
    tokens: Vec<Token>,
    dependences: Vec<Dependence>,
}

impl Scanned {
    /// Those of file number `file`.
    fn new(texts: &Texts, file: usize) -> Scanned {
        let text = &texts.files[file].text;
        let mut all = Vec::new();
        tokens(text, file as u32, 0..text.len(), &mut all);
        let mut dependences = conditions::dependences(texts, &all);
        if has_directive(text) {
            dependences.extend(directives::dependences(texts, file as u32));
        }
        Scanned { tokens: all, dependences }
    }
}

/// The files that have `name` in their text.
fn naming<'a>(texts: &'a Texts, name: &'a str) -> impl Iterator<Item = Scanned> + 'a {
    let has_name = move |&file: &usize| texts.files[file].text.contains(name);
    (0..texts.files.len()).filter(has_name).map(|file| Scanned::new(texts, file))
}

/// The definitions under which `name` is declared in one of the files, where `values` are not such,
/// those with the fewest changes first; `given` are not changed.
pub(super) fn repaired(
    texts: &Texts,
    name: &str,
    is_member: bool,
    values: &Values,
    given: &Values,
) -> Vec<Values> {
    let mut fitting: Vec<(usize, Values)> = Vec::new();
    for Scanned { tokens: all, dependences: found } in naming(texts, name) {
        let members = if is_member { structures(texts, &all) } else { Vec::new() };
        for place in declarations(texts, &all, name) {
            if is_member && !members.iter().any(|range| range.contains(&place)) {
                continue;
            }
            let around: Vec<_> = found.iter().filter(|one| one.range.contains(&place)).collect();
            let Some(changed) = fulfilled(texts, &around, values, given) else { continue };
            if changed == *values {
                // It is declared here already: another reason.
                continue;
            }
            let changes = changed.iter().filter(|(key, _)| !values.contains_key(*key)).count()
                + values.keys().filter(|key| !changed.contains_key(*key)).count();
            if !fitting.iter().any(|(_, known)| *known == changed) {
                fitting.push((changes, changed));
            }
        }
    }
    fitting.sort_by_key(|(changes, _)| *changes);
    fitting.into_iter().map(|(_, values)| values).collect()
}

/// Names that only conditions of the files behind the first read, with what they are compared
/// with, without those in `own`.
pub(super) fn read_by_imports(
    texts: &Texts,
    own: &[(String, Option<String>)],
    values: &Values,
) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    for file in 1..texts.files.len() {
        for one in Scanned::new(texts, file).dependences {
            let Ok((_, names)) = evaluate(texts, &one.condition, values) else { continue };
            for name in names {
                let is_known = own.iter().chain(&found).any(|(known, _)| *known == name.0);
                if !is_known && !values.contains_key(&name.0) {
                    found.push(name);
                }
            }
        }
    }
    found
}

/// The definitions under which a `return` of function `name` is there.
pub(super) fn returning(texts: &Texts, name: &str, values: &Values, given: &Values) -> Vec<Values> {
    let mut fitting = Vec::new();
    for Scanned { tokens: all, dependences: found } in naming(texts, name) {
        for at in 0..all.len() {
            if !(texts.is(&all, at, "fn") && texts.is(&all, at + 1, name)) {
                continue;
            }
            let Some(open) = (at..all.len()).find(|&at| all[at].is(b'{')) else { continue };
            for inside in open..closing(&all, open) {
                if !texts.is(&all, inside, "return") {
                    continue;
                }
                let place = all[inside].start;
                let around: Vec<_> =
                    found.iter().filter(|one| one.range.contains(&place)).collect();
                if let Some(changed) = fulfilled(texts, &around, values, given)
                    && changed != *values
                    && !fitting.contains(&changed)
                {
                    fitting.push(changed);
                }
            }
        }
    }
    fitting
}

/// The names of the members that a structure has under any condition.
pub(super) fn members(texts: &Texts, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for Scanned { tokens: all, .. } in naming(texts, name) {
        for at in 0..all.len() {
            if !(texts.is(&all, at, "struct") && texts.is(&all, at + 1, name)) {
                continue;
            }
            let Some(open) = (at..all.len().min(at + 4)).find(|&at| all[at].is(b'{')) else {
                continue;
            };
            let inside = open + 1..closing(&all, open);
            found.extend(
                inside
                    .filter(|&at| {
                        all[at].kind == Kind::Word
                            && all.get(at + 1).is_some_and(|next| next.is(b':'))
                    })
                    .map(|at| texts.of(all[at]).to_owned()),
            );
        }
    }
    found
}

/// Whether all declarations of `name` in the files depend on conditions, and there is one.
pub(super) fn is_conditional(texts: &Texts, name: &str) -> bool {
    let mut count = 0;
    for Scanned { tokens: all, dependences: found } in naming(texts, name) {
        let is_inside = |place: &u32| found.iter().any(|one| one.range.contains(place));
        count += declarations(texts, &all, name).iter().filter(|place| is_inside(place)).count();
    }
    count > 0
}

/// Whether a stretch of a file holds conditions.
pub(super) fn has_conditions(texts: &Texts, file: usize, offset: usize) -> bool {
    let Some(source) = texts.files.get(file) else { return false };
    let Some((range, _)) = declaration_at(&source.text, offset) else { return false };
    Scanned::new(texts, file)
        .dependences
        .iter()
        .any(|one| (one.range.start as usize) < range.end && range.start < one.range.end as usize)
}

/// The bytes of the members of structures.
fn structures(texts: &Texts, all: &[Token]) -> Vec<std::ops::Range<u32>> {
    let starts = (0..all.len()).filter(|&at| texts.is(all, at, "struct"));
    starts
        .filter_map(|at| {
            let open = (at..all.len().min(at + 4)).find(|&at| all[at].is(b'{'))?;
            Some(all[open].start..all[closing(all, open)].end)
        })
        .collect()
}

/// Places where a name is declared: behind a keyword, or in front of a colon.
fn declarations(texts: &Texts, all: &[Token], name: &str) -> Vec<u32> {
    let is_declared = |at: usize| {
        let before = at.checked_sub(1).map(|at| all[at]);
        let by_keyword = before.is_some_and(|token| {
            token.is(b'>')
                || token.kind == Kind::Word
                    && matches!(
                        texts.of(token),
                        "fn" | "struct" | "const" | "let" | "alias" | "override" | "var"
                    )
        });
        by_keyword || all.get(at + 1).is_some_and(|next| next.is(b':'))
    };
    (0..all.len())
        .filter(|&at| all[at].kind == Kind::Word && texts.of(all[at]) == name && is_declared(at))
        .map(|at| all[at].start)
        .collect()
}

/// `values` changed as little as is needed for all conditions.
fn fulfilled(
    texts: &Texts,
    around: &[&Dependence],
    values: &Values,
    given: &Values,
) -> Option<Values> {
    let mut values = values.clone();
    // A later condition may undo what an earlier one needs.
    for _ in 0..3 {
        let mut is_stable = true;
        for one in around {
            let (value, names) = evaluate(texts, &one.condition, &values).ok()?;
            if value == one.value {
                continue;
            }
            is_stable = false;
            let mut free: Vec<(String, Option<String>)> = Vec::new();
            for (name, compared) in names {
                let is_known = free.iter().any(|(own, _)| *own == name);
                if !given.contains_key(&name) && !is_known && free.len() < MAX_NAMES {
                    free.push((name, compared));
                }
            }
            let tries = (1u32..1 << free.len()).map(|mask| {
                let mut changed = values.clone();
                for (bit, (name, compared)) in free.iter().enumerate() {
                    if mask >> bit & 1 == 1 && changed.remove(name).is_none() {
                        changed.insert(name.clone(), compared.clone().unwrap_or_default());
                    }
                }
                (mask.count_ones(), changed)
            });
            let mut fitting: Vec<_> = tries
                .filter(|(_, changed)| {
                    evaluate(texts, &one.condition, changed)
                        .is_ok_and(|(value, _)| value == one.value)
                })
                .collect();
            fitting.sort_by_key(|(changes, _)| *changes);
            values = fitting.into_iter().next()?.1;
        }
        if is_stable {
            return Some(values);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::texts::Text;
    use super::*;

    fn lacks(text: &str, name: &str, defined: &[&str]) -> Option<Vec<String>> {
        let values: Values = defined.iter().map(|name| (name.to_string(), String::new())).collect();
        let mut texts = Texts::default();
        texts.add(Text::new("a", text).into());
        let found = repaired(&texts, name, false, &values, &Values::new()).into_iter().next()?;
        Some(found.into_keys().collect())
    }

    #[test]
    fn the_conditions_around_a_declaration_are_fulfilled() {
        let names = |all: &[&str]| Some(all.iter().map(|name| name.to_string()).collect());
        let text = "@if(A && !B) { var x: u32; @if(C) fn f() { } @else fn g() { } }";
        assert_eq!(lacks(text, "x", &["B"]), names(&["A"]));
        assert_eq!(lacks(text, "f", &[]), names(&["A", "C"]));
        assert_eq!(lacks(text, "g", &["C"]), names(&["A"]));
        assert_eq!(lacks(text, "h", &[]), None);
        assert_eq!(lacks("struct S { @if(A) m: u32, n: u32 }", "m", &[]), names(&["A"]));
        let text = "#ifdef A\nfn f() { }\n#else ifdef B\nfn g() { }\n#else\nfn h() { }\n#endif\n";
        assert_eq!(lacks(text, "g", &["A"]), names(&["B"]));
        assert_eq!(lacks(text, "h", &["A"]), names(&[]));
        assert_eq!(lacks(text, "f", &["B"]), names(&["A", "B"]));
    }
}
