//! What every page has: its head with a policy that forbids loading anything, its sections, its lists of facts.

use std::fmt::Write;

use gyrus_blueprint::escaped;

/// Names with values, in the order in which they are shown.
pub type Facts<'a> = Vec<(&'a str, String)>;

pub(crate) const STYLE: &str = include_str!("style.css");

/// What a narrow screen says above something that is wider.
pub(crate) const SWIPE: &str = "<p class=\"swipe\">swipe sideways to see all columns</p>";

/// A page up to its first element; its policy forbids it to load anything.
pub(crate) fn begin_page(title: &str) -> String {
    begin_page_with(title, "", &[STYLE])
}

/// [`begin_page`] with `policy` appended to its content security policy, and these style sheets.
pub(crate) fn begin_page_with(title: &str, policy: &str, styles: &[&str]) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         img-src data:{policy}\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{}</style>\n\
         </head>\n<body>\n<main>\n",
        escaped(title),
        styles.concat(),
    )
}

pub(crate) fn end_page(mut page: String) -> String {
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// A section, unless its body is empty. `title` is HTML.
pub(crate) fn section(page: &mut String, id: &str, title: &str, body: &str) {
    if !body.is_empty() {
        page.push_str(&format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{body}\n</section>\n"));
    }
}

/// The page's title, with how far a run came above it and what it is below. `lead` is HTML.
pub(crate) fn run_header(name: &str, status: &str, lead: &str) -> String {
    let status = escaped(status);
    format!(
        "<header><p class=\"overline\">Gyrus run <span class=\"status {status}\">{status}</span></p>\n\
         <h1>{}</h1>\n<p class=\"lead\">{lead}</p></header>\n",
        escaped(name),
    )
}

/// When a run began, from RFC 3339 to something easier to read.
pub(crate) fn day(created: &str) -> String {
    escaped(&created.replace('T', " ").replace('Z', " UTC"))
}

/// Facts beside the headline.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let mut html = String::from("<dl class=\"facts\">");
    for (label, value) in facts {
        let _ = write!(html, "<div><dt>{}</dt><dd>{}</dd></div>", escaped(label), escaped(value));
    }
    html.push_str("</dl>");
    html
}

/// Groups of settings; a group without a title has no heading.
pub(crate) fn provenance(groups: &[(&str, Facts<'_>)]) -> String {
    let mut html = String::from("<div class=\"provenance\">");
    for (title, rows) in groups {
        html.push_str("<div>");
        if !title.is_empty() {
            let _ = write!(html, "<h3>{}</h3>", escaped(title));
        }
        html.push_str("<dl>");
        for (label, value) in rows {
            let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escaped(label), escaped(value));
        }
        html.push_str("</dl></div>");
    }
    html.push_str("</div>");
    html
}
