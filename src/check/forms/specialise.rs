//! The combinations of conditions that a file is checked with.

use super::values::Values;

/// Most combinations of one file.
pub(in crate::check) const MAX_COMBINATIONS: usize = 64;

/// The combinations of a file, without the first, which adds nothing.
#[derive(Debug, Default)]
pub(in crate::check) struct Plan {
    /// What each adds to the definitions given.
    pub combinations: Vec<Values>,
    /// How many there are in all.
    pub of: u128,
}

/// Combinations of the names that conditions read (with what they are compared with), except those
/// in `given`: all if they are few; else each name alone, all, all but one, and pairs.
pub(in crate::check) fn plan(names: &[(String, Option<String>)], given: &Values) -> Plan {
    let mut choices: Vec<(String, Vec<Option<String>>)> = Vec::new();
    for (name, compared) in names {
        if given.contains_key(name) || name.is_empty() {
            continue;
        }
        let index = match choices.iter().position(|(own, _)| own == name) {
            Some(index) => index,
            None => {
                choices.push((name.clone(), vec![None]));
                choices.len() - 1
            }
        };
        let value = Some(compared.clone().unwrap_or_default());
        let values = &mut choices[index].1;
        if !values.contains(&value) && values.len() < 16 {
            values.push(value);
        }
    }
    let of = choices
        .iter()
        .try_fold(1u128, |product, (_, values)| product.checked_mul(values.len() as u128));
    let of = of.unwrap_or(u128::MAX);
    let combination = |picked: &[(usize, usize)]| -> Values {
        let set = picked.iter().filter_map(|&(name, value)| {
            let (name, values) = &choices[name];
            Some((name.clone(), values.get(value).or(values.last())?.clone()?))
        });
        set.collect()
    };
    let mut all: Vec<Values> = Vec::new();
    if of <= MAX_COMBINATIONS as u128 {
        for number in 1..of {
            let mut rest = number;
            let picked: Vec<_> = choices
                .iter()
                .enumerate()
                .map(|(index, (_, values))| {
                    let value = (rest % values.len() as u128) as usize;
                    rest /= values.len() as u128;
                    (index, value)
                })
                .collect();
            all.push(combination(&picked));
        }
    } else {
        let count = choices.len();
        let every = || (0..count).map(|name| (name, 1));
        // Whether there is room for more: what is not kept is not made.
        let mut add = |picked: &mut dyn Iterator<Item = (usize, usize)>| {
            if all.len() + 1 >= MAX_COMBINATIONS {
                return false;
            }
            let new = combination(&picked.collect::<Vec<_>>());
            if !all.contains(&new) && !new.is_empty() {
                all.push(new);
            }
            true
        };
        let singles =
            (0..count).flat_map(|name| (1..choices[name].1.len()).map(move |value| (name, value)));
        let mut has_room = true;
        for (number, single) in singles.enumerate() {
            // Of very many, all together are one of those that are checked.
            if number == MAX_COMBINATIONS / 2 {
                has_room = add(&mut every());
            }
            has_room = has_room && add(&mut std::iter::once(single));
            if !has_room {
                break;
            }
        }
        has_room = has_room && add(&mut every());
        for left in 0..count {
            has_room = has_room && add(&mut every().filter(|(name, _)| *name != left));
        }
        'pairs: for first in 0..count {
            for second in first + 1..count {
                if !(has_room && add(&mut [(first, 1), (second, 1)].into_iter())) {
                    break 'pairs;
                }
            }
        }
    }
    Plan { combinations: all, of }
}

/// A combination in one line: `A, B=2`.
pub(in crate::check) fn name_of(values: &Values) -> String {
    let one = |(name, value): (&String, &String)| {
        if value.is_empty() { name.clone() } else { format!("{name}={value}") }
    };
    values.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<(String, Option<String>)> {
        (0..count).map(|index| (format!("N{index:02}"), None)).collect()
    }

    #[test]
    fn few_names_have_all_combinations_and_many_are_bounded() {
        let all = plan(&names(3), &Values::new());
        assert_eq!((all.combinations.len(), all.of), (7, 8));
        let all = plan(&names(3), &Values::from([("N00".into(), String::new())]));
        assert_eq!((all.combinations.len(), all.of), (3, 4));
        let all = plan(&names(200), &Values::new());
        assert_eq!((all.combinations.len(), all.of), (MAX_COMBINATIONS - 1, u128::MAX));
        assert_eq!(all.combinations[0].len(), 1);
        let compared = [("N".to_owned(), Some("2".to_owned())), ("N".into(), Some("3".into()))];
        let all = plan(&compared, &Values::new());
        assert_eq!(all.combinations.iter().map(name_of).collect::<Vec<_>>(), ["N=2", "N=3"]);
        assert!(plan(&[], &Values::new()).combinations.is_empty());
    }
}
