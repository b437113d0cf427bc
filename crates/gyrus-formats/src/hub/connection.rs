//! Requests to the hub: which host receives the token, which redirections are followed, which proxy is used.
//!
//! The hub redirects a request for a file to another host, which stores the bytes. This module follows redirections
//! itself: the token is sent to the hub's own address (scheme, host and port) and to no other, and an encrypted connection
//! never leads to an unencrypted one. Proxies come from the environment as `curl` reads them
//! (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), root certificates from the system (or `SSL_CERT_FILE`).

use std::time::Duration;

use ureq::http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, LOCATION, RANGE};
use ureq::http::{Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

/// The longest silence of the hub.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Redirections of one request, at most.
const MAXIMUM_REDIRECTIONS: usize = 10;

/// What the hub answered.
pub(super) type Answer = Response<Body>;

/// One hub, and how it is reached.
pub(super) struct Connection {
    agent: Agent,
    /// The hub's address without a slash at its end.
    pub(super) endpoint: String,
    origin: Origin,
    /// What opens repositories that are not public.
    token: Option<String>,
}

/// Where an address leads, as far as trust is concerned.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    encrypted: bool,
    host: String,
    port: u16,
}

impl Origin {
    fn of(address: &Uri) -> Result<Self, String> {
        let encrypted = match address.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("got the address '{address}', expected https:// or http://")),
        };
        let host = address.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| format!("got the address '{address}', expected one with a host"))?;
        let port = address.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        Ok(Self { encrypted, host: host.to_ascii_lowercase(), port })
    }
}

impl Connection {
    /// # Errors
    /// A sentence for an address that is not one of HTTP.
    pub(super) fn new(endpoint: &str, token: Option<String>) -> Result<Self, String> {
        let endpoint = endpoint.trim_end_matches('/');
        let origin = Origin::of(&parse(endpoint)?)?;
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("gyrus/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .timeout_per_read(Some(TIMEOUT))
            .timeout_per_write(Some(TIMEOUT));
        Ok(Self { agent: config.build().into(), endpoint: endpoint.to_owned(), origin, token })
    }

    /// The headers of `path` as the hub's own host has them: a redirection to another host is an answer, not followed.
    ///
    /// # Errors
    /// A sentence where no answer comes.
    pub(super) fn head(&self, path: &str) -> Result<Answer, String> {
        self.request(path, |agent, address| agent.head(address), false)
    }

    /// The bytes `first` to `last` of `path`, wherever the hub has them.
    ///
    /// # Errors
    /// A sentence where no answer comes.
    pub(super) fn get(&self, path: &str, first: u64, last: u64) -> Result<Answer, String> {
        let range = format!("bytes={first}-{last}");
        self.request(path, |agent, address| agent.get(address).header(RANGE, &range), true)
    }

    /// All of `path`, of at most `limit` bytes, from the hub's own host.
    ///
    /// # Errors
    /// A sentence where no answer comes, or another one than success.
    pub(super) fn whole(&self, path: &str, limit: u64) -> Result<Vec<u8>, String> {
        let answer = self.request(path, |agent, address| agent.get(address), false)?;
        if !answer.status().is_success() {
            return Err(format!("the hub answered {}", answer.status()));
        }
        let body = answer.into_body().into_with_config().limit(limit).read_to_vec();
        body.map_err(|error| error.to_string())
    }

    /// Whether there is a token.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The hub's own answer to a request with a body; a redirection is an answer.
    ///
    /// # Errors
    /// A sentence where no answer comes.
    pub(super) fn post(&self, path: &str, kind: &str, body: &[u8]) -> Result<Answer, String> {
        let address = parse(&format!("{}/{path}", self.endpoint))?;
        let mut request = self.agent.post(&address).header(CONTENT_TYPE, kind).header(ACCEPT, kind);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let proxy = proxy(&self.origin, |name| std::env::var(name).ok())?;
        request.config().proxy(proxy).build().send(body).map_err(|error| error.to_string())
    }

    /// Puts bytes to an address that the hub named, without its token; the status of the answer.
    ///
    /// # Errors
    /// A sentence where no answer comes, or where an encrypted hub names an unencrypted address.
    pub(super) fn put(
        &self,
        address: &str,
        headers: &[(String, String)],
        bytes: &[u8],
    ) -> Result<u16, String> {
        let address = parse(address)?;
        let origin = Origin::of(&address)?;
        if self.origin.encrypted && !origin.encrypted {
            return Err(format!("refused to send to the unencrypted {address}"));
        }
        let mut request = self.agent.put(&address);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let proxy = proxy(&origin, |name| std::env::var(name).ok())?;
        let answer = request.config().proxy(proxy).build().send(bytes).map_err(|error| error.to_string())?;
        Ok(answer.status().as_u16())
    }

    fn request(
        &self,
        path: &str,
        build: impl Fn(&Agent, &Uri) -> ureq::RequestBuilder<ureq::typestate::WithoutBody>,
        leaves_host: bool,
    ) -> Result<Answer, String> {
        let mut address = parse(&format!("{}/{path}", self.endpoint))?;
        for _ in 0..=MAXIMUM_REDIRECTIONS {
            let origin = Origin::of(&address)?;
            let mut request = build(&self.agent, &address).header(ACCEPT_ENCODING, "identity");
            if let Some(token) = self.token.as_ref().filter(|_| origin == self.origin) {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let proxy = proxy(&origin, |name| std::env::var(name).ok())?;
            let answer = request.config().proxy(proxy).build().call().map_err(|error| error.to_string())?;
            let Some(location) = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection())
            else {
                return Ok(answer);
            };
            let location =
                location.to_str().map_err(|_| "the hub redirects to an address that is not text")?;
            let next = follow(&address, location)?;
            let next_origin = Origin::of(&next)?;
            if !leaves_host && next_origin.host != origin.host {
                return Ok(answer);
            }
            if origin.encrypted && !next_origin.encrypted {
                return Err(format!(
                    "refused to follow a redirection from {address} to the unencrypted {next}"
                ));
            }
            address = next;
        }
        Err(format!("more than {MAXIMUM_REDIRECTIONS} redirections"))
    }
}

fn parse(address: &str) -> Result<Uri, String> {
    address.parse().map_err(|error| format!("got the address '{address}', expected https://HOST ({error})"))
}

/// The address that a redirection names: a whole one, one with another host, or a path on the same host.
fn follow(from: &Uri, location: &str) -> Result<Uri, String> {
    let location = location.split('#').next().unwrap_or_default();
    if location.contains("://") && !location.starts_with('/') {
        return parse(location);
    }
    let scheme = from.scheme_str().unwrap_or_default();
    let authority = from.authority().map_or("", |authority| authority.as_str());
    match location {
        other_host if other_host.starts_with("//") => parse(&format!("{scheme}:{other_host}")),
        path if path.starts_with('/') => parse(&format!("{scheme}://{authority}{path}")),
        relative => {
            let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            parse(&format!("{scheme}://{authority}{folder}/{relative}"))
        }
    }
}

/// The proxy for `origin`, if the environment names one and does not exclude the host.
fn proxy(origin: &Origin, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, String> {
    let either = |name: &str| {
        let set = |name: String| variable(&name).filter(|value| !value.trim().is_empty());
        set(name.to_ascii_uppercase()).or_else(|| set(name.to_ascii_lowercase()))
    };
    let excluded = either("no_proxy").is_some_and(|list| {
        list.split(',').map(str::trim).any(|name| {
            let name = name.trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase();
            let domain =
                origin.host.strip_suffix(&name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            !name.is_empty() && domain
        }) || list.trim() == "*"
    });
    let name = if origin.encrypted { "https_proxy" } else { "http_proxy" };
    let Some(address) = either(name).or_else(|| either("all_proxy")).filter(|_| !excluded) else {
        return Ok(None);
    };
    let proxy = Proxy::new(address.trim());
    proxy
        .map(Some)
        .map_err(|error| format!("the proxy in {} is unusable: {error}", name.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::of(&parse(address).unwrap()).unwrap()
    }

    #[test]
    fn only_the_very_address_of_the_hub_counts_as_the_hub() {
        let hub = origin("https://hub.example");
        assert_eq!(hub, origin("https://HUB.example:443/some/path"));
        for other in ["http://hub.example", "https://hub.example:444", "https://cdn.hub.example"] {
            assert_ne!(hub, origin(other));
        }
        for wrong in ["ftp://hub.example", "hub.example", "/path"] {
            assert!(parse(wrong).and_then(|address| Origin::of(&address)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn redirections_lead_where_they_say() {
        let from = parse("https://hub.example:8443/some/file?query").unwrap();
        for (location, expected) in [
            ("http://other.example/x?u=https://y", "http://other.example/x?u=https://y"),
            ("//other.example/x", "https://other.example/x"),
            ("/api/x?u=https://y#part", "https://hub.example:8443/api/x?u=https://y"),
            ("x", "https://hub.example:8443/some/x"),
        ] {
            assert_eq!(follow(&from, location).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn the_proxy_fits_the_scheme_and_spares_excluded_hosts() {
        let chosen = |address: &str, variables: &[(&str, &str)]| {
            let find = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            proxy(&origin(address), find).unwrap().map(|proxy| proxy.uri().host().unwrap().to_owned())
        };
        let both = [("HTTPS_PROXY", "http://secure:1"), ("http_proxy", "http://plain:1")];
        assert_eq!(chosen("https://hub.example", &both).as_deref(), Some("secure"));
        assert_eq!(chosen("http://hub.example", &both).as_deref(), Some("plain"));
        assert_eq!(chosen("http://hub.example", &both[..1]), None);
        assert_eq!(chosen("http://hub.example", &[("ALL_PROXY", "any:1")]).as_deref(), Some("any"));
        for list in ["hub.example", "x, .example", "*.example", "*"] {
            assert_eq!(chosen("https://hub.example", &[both[0], ("NO_PROXY", list)]), None, "{list}");
        }
        for list in ["ub.example", "other.example", ""] {
            assert!(chosen("https://hub.example", &[both[0], ("no_proxy", list)]).is_some(), "{list}");
        }
    }
}
