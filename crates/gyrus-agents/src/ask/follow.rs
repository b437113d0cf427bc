//! Questions that go on from the one before: "and for 2011?", "what about Norway?", "the same per city".

use super::grammar::Part;
use super::lexicon::Meaning;

/// How such a question begins, in lower case; the longest first.
const BEGINNINGS: [&str; 12] = [
    "and what about ",
    "and how about ",
    "what about ",
    "how about ",
    "the same for ",
    "the same per ",
    "and only ",
    "same for ",
    "same per ",
    "now for ",
    "and ",
    "only ",
];

/// What is new in a question that goes on from the one before.
pub(super) fn rest(question: &str) -> Option<String> {
    let question = question.trim_start().to_lowercase();
    let begin = BEGINNINGS.iter().find(|begin| question.starts_with(**begin))?;
    let rest = question[begin.len()..].to_owned();
    Some(if begin.ends_with(" per ") { format!("per {rest}") } else { rest })
}

fn values(part: &Part) -> Vec<(usize, usize)> {
    let Part::Name(meanings, _) = part else { return Vec::new() };
    let place = |meaning: &Meaning| match meaning {
        Meaning::Value(table, column, _) => Some((*table, *column)),
        _ => None,
    };
    meanings.iter().filter_map(place).collect()
}

/// The earlier question with what is new in the place of what it replaces: a number for the number, a value for the value of the
/// same column, groups for groups. What replaces nothing is added.
///
/// # Errors
/// What is new and neither a number, a value nor a group.
pub(super) fn merged(before: &[Part], new: &[Part]) -> Result<Vec<Part>, String> {
    let mut parts = before.to_vec();
    let mut at = 0;
    while at < new.len() {
        match &new[at] {
            Part::Filler | Part::And => {}
            Part::Number(_) => match parts.iter().rposition(|part| matches!(part, Part::Number(_))) {
                Some(place) => parts[place] = new[at].clone(),
                None => parts.push(new[at].clone()),
            },
            Part::Top(_) => match parts.iter().rposition(|part| matches!(part, Part::Top(_))) {
                Some(place) => parts[place] = new[at].clone(),
                None => return Err("the question before asked for no top".to_owned()),
            },
            Part::Each => {
                let Some(of) = new[at + 1..].iter().find(|part| matches!(part, Part::Name(..))) else {
                    return Err("it is not said what the groups are".to_owned());
                };
                let place = parts.iter().rposition(|part| matches!(part, Part::Each));
                let old = place.and_then(|place| {
                    let next = parts[place..].iter().position(|part| matches!(part, Part::Name(..)))?;
                    Some(place + next)
                });
                match old {
                    Some(old) => parts[old] = of.clone(),
                    None => parts.extend([Part::Each, of.clone()]),
                }
                return Ok(parts);
            }
            Part::Name(_, shown) => {
                let own = values(&new[at]);
                if own.is_empty() {
                    return Err(format!("`{shown}` replaces nothing of the question before"));
                }
                let old = parts.iter().rposition(|part| values(part).iter().any(|place| own.contains(place)));
                match old {
                    Some(old) => parts[old] = new[at].clone(),
                    None => parts.push(new[at].clone()),
                }
            }
            _ => return Err("only a number, a value or `per` something can follow".to_owned()),
        }
        at += 1;
    }
    Ok(parts)
}
