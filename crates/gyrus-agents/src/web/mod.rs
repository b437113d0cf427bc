//! Pages of the web, fetched so that nobody can turn the program against the network it runs in.
//!
//! A name is looked up once, by a resolver that refuses every address that is not public, and the connection goes to the addresses that
//! it checked: there is no second lookup that could answer differently. Redirects are followed by hand, each hop checked anew. There are
//! no cookies, no credentials and no proxies; size, time and type are limited, `robots.txt` is obeyed, hosts are asked at most once a
//! second, and what was fetched is kept.

mod address;
mod fetch;
mod robots;
mod search;

pub use address::is_public;
pub use fetch::{Fetched, Fetcher, Lookup};
pub use robots::Robots;
pub use search::Web;
