//! `robots.txt`, as RFC 9309 reads it.

/// The rules for this program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Robots {
    /// Patterns, and whether they allow.
    rules: Vec<(String, bool)>,
}

/// The most rules that are kept.
const MOST: usize = 5000;

impl Robots {
    /// Reads the rules for `agent`, or those for everybody where there are none.
    #[must_use]
    pub fn parse(text: &str, agent: &str) -> Self {
        let (mut own, mut all): (Option<Vec<_>>, Vec<_>) = (None, Vec::new());
        let (mut is_own, mut is_all, mut names) = (false, false, true);
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "user-agent" => {
                    if !names {
                        (is_own, is_all) = (false, false);
                    }
                    names = true;
                    is_all |= value == "*";
                    if value.to_ascii_lowercase() == agent {
                        is_own = true;
                        own.get_or_insert_default();
                    }
                }
                key @ ("allow" | "disallow") => {
                    names = false;
                    let rule = (value.to_owned(), key == "allow");
                    if value.is_empty() {
                        continue;
                    }
                    if is_own && let Some(own) = own.as_mut().filter(|own| own.len() < MOST) {
                        own.push(rule.clone());
                    }
                    if is_all && all.len() < MOST {
                        all.push(rule);
                    }
                }
                _ => {}
            }
        }
        Self { rules: own.unwrap_or(all) }
    }

    /// Rules that forbid everything: for a site whose rules cannot be had.
    #[must_use]
    pub fn closed() -> Self {
        Self { rules: vec![("/".to_owned(), false)] }
    }

    /// Whether a path, with its query, may be fetched: the longest pattern decides, and of those alike the one that allows.
    #[must_use]
    pub fn allows(&self, path: &str) -> bool {
        let fitting = self.rules.iter().filter(|(pattern, _)| fits(pattern, path));
        fitting.max_by_key(|(pattern, allows)| (pattern.len(), *allows)).is_none_or(|(_, allows)| *allows)
    }
}

/// Whether a pattern with `*` and a final `$` fits the beginning of a path.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, to_end) = pattern.strip_suffix('$').map_or((pattern, false), |pattern| (pattern, true));
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        last = Some(part);
        rest = &rest[at + part.len()..];
    }
    !to_end || rest.is_empty() || last.is_some_and(|last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_rule_decides() {
        let text = "User-agent: *\nDisallow: /private\nAllow: /private/open\nDisallow: /*.pdf$\n\nUser-agent: other\nDisallow: /\n";
        let robots = Robots::parse(text, "gyrus");
        for (path, allowed) in [
            ("/", true),
            ("/private/x", false),
            ("/private/open/x", true),
            ("/a/b.pdf", false),
            ("/a.pdf?x", true),
        ] {
            assert_eq!(robots.allows(path), allowed, "{path}");
        }
        assert!(!Robots::parse(text, "other").allows("/x"));
        assert!(
            Robots::parse("User-agent: gyrus\nDisallow:\n\nUser-agent: *\nDisallow: /", "gyrus").allows("/x")
        );
        assert!(!Robots::closed().allows("/"));
        assert!(Robots::default().allows("/"));
    }
}
