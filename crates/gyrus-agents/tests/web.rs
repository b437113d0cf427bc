//! Pages from a server on this machine, which is allowed by its very address, and everything else that a page could lead to.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gyrus_agents::retrieval::sources::PdfReader;
use gyrus_agents::web::{Fetcher, Lookup, Web};

/// What a server saw, and where it listens.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

/// A server that answers each path with `answer`.
fn server(answer: impl Fn(&str) -> String + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let path = first.split(' ').nth(1).unwrap().to_owned();
            log.lock().unwrap().push(format!("{path}\n{}", head.join("\n")));
            let _ = (&stream).write_all(answer(&path).as_bytes());
        }
    });
    Server { address, seen }
}

fn page(kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

const NOTHING: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A fetcher for which every name leads to the server; what is an address leads to itself.
fn fetcher(server: &Server) -> Fetcher {
    let address = server.address;
    let lookup: Lookup =
        Arc::new(move |host, port| Ok(vec![host.parse().map_or(address, |ip| SocketAddr::new(ip, port))]));
    Fetcher::with(None, PdfReader::default(), lookup, vec![address], Duration::ZERO)
}

#[test]
fn pages_become_texts() {
    let own = server(|path| {
        match path {
        "/robots.txt" => page("text/plain", "User-agent: *\nDisallow: /secret"),
        "/a" => redirect("b?x=1"),
        "/b?x=1" => page("text/html; charset=utf-8", "<title>T</title><p>Owls hunt.<script>bad()</script>"),
        "/secret/x" => page("text/plain", "secret"),
        "/picture" => page("image/png", "x"),
        "/zip" => "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx".to_owned(),
        "/long" => page("text/plain", &"word ".repeat(2_000_000)),
        "/broken" => "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nhalf".to_owned(),
        "/loop" => redirect("/loop"),
        _ => NOTHING.to_owned(),
    }
    });
    let mut fetcher = fetcher(&own);
    let found = fetcher.fetch("http://docs.example/a").unwrap();
    assert_eq!((found.title.as_deref(), found.text.as_str()), (Some("T"), "Owls hunt."));
    assert_eq!(found.address, "http://docs.example/b?x=1");
    for (path, reason) in [
        ("/secret/x", "robots.txt"),
        ("/picture", "image/png"),
        ("/zip", "gzip"),
        ("/long", "limit"),
        ("/broken", "docs.example"),
        ("/loop", "more than 5 redirects"),
        ("/none", "404"),
    ] {
        let error = fetcher.fetch(&format!("http://docs.example{path}")).unwrap_err();
        assert!(error.contains(reason), "{path}: {error}");
    }
    let seen = own.seen.lock().unwrap();
    assert!(
        seen.iter()
            .all(|request| !request.starts_with("/secret") && !request.to_lowercase().contains("cookie"))
    );
    assert_eq!(seen.iter().filter(|request| request.starts_with("/robots.txt")).count(), 1);
}

#[test]
fn nothing_leads_inside() {
    // A server beside it, on an address that is not allowed: it must never be asked.
    let inside = server(|_| page("text/plain", "inside"));
    let target = inside.address;
    let own = server(move |path| match path {
        "/robots.txt" => NOTHING.to_owned(),
        "/inside" => redirect(&format!("http://127.0.0.1:{}/", target.port())),
        "/localhost" => redirect(&format!("http://[::ffff:127.0.0.1]:{}/", target.port())),
        "/metadata" => redirect("http://169.254.169.254/latest/meta-data/"),
        "/file" => redirect("file:///etc/passwd"),
        "/chain" => redirect("/chain2"),
        "/chain2" => redirect("//10.0.0.1/"),
        _ => page("text/plain", "fine"),
    });
    let mut fetcher = fetcher(&own);
    assert_eq!(fetcher.fetch("http://a.example/").unwrap().text, "fine");
    for path in ["/inside", "/localhost", "/metadata", "/file", "/chain"] {
        let error = fetcher.fetch(&format!("http://a.example{path}")).unwrap_err();
        assert!(error.contains("not a public address") || error.contains("only http"), "{path}: {error}");
    }
    for address in [
        format!("http://127.0.0.1:{}/", target.port()),
        format!("http://[::1]:{}/", target.port()),
        "http://192.168.0.1/".to_owned(),
        "http://metadata@169.254.169.254/".to_owned(),
        "ftp://a.example/".to_owned(),
        "gopher://a.example/".to_owned(),
        "http:///x".to_owned(),
        "http://a.example/\r\nx: y".to_owned(),
    ] {
        assert!(fetcher.fetch(&address).is_err(), "{address}");
    }
    assert!(inside.seen.lock().unwrap().is_empty());
}

#[test]
fn a_name_that_changes_its_address_is_refused() {
    let inside = server(|_| page("text/plain", "inside"));
    let own =
        server(|path| if path == "/robots.txt" { NOTHING.to_owned() } else { page("text/plain", "fine") });
    let (good, bad) = (own.address, inside.address);
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    // The first answers are good, the later ones bad; each connection goes where its own lookup led.
    let lookup: Lookup =
        Arc::new(move |_, _| Ok(vec![if counted.fetch_add(1, Ordering::SeqCst) < 2 { good } else { bad }]));
    let mut rebinding = Fetcher::with(None, PdfReader::default(), lookup, vec![good], Duration::ZERO);
    assert_eq!(rebinding.fetch("http://rebinding.example/1").unwrap().text, "fine");
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert!(rebinding.fetch("http://rebinding.example/2").unwrap_err().contains("not a public address"));
    // One bad address among good ones.
    let lookup: Lookup = Arc::new(move |_, _| Ok(vec![good, bad]));
    let mut mixed = Fetcher::with(None, PdfReader::default(), lookup, vec![good], Duration::ZERO);
    assert!(mixed.fetch("http://mixed.example/").is_err());
    assert!(inside.seen.lock().unwrap().is_empty());
}

#[test]
fn hosts_are_asked_slowly_and_pages_are_kept() {
    let own =
        server(|path| if path == "/robots.txt" { NOTHING.to_owned() } else { page("text/plain", "fine") });
    let folder = tempfile::tempdir().unwrap();
    let address = own.address;
    let lookup: Lookup = Arc::new(move |_, _| Ok(vec![address]));
    let between = Duration::from_millis(200);
    let cache = Some(folder.path().join("pages"));
    let mut fetcher = Fetcher::with(cache, PdfReader::default(), lookup, vec![address], between);
    let start = Instant::now();
    for path in ["/1", "/2", "/1", "/2"] {
        fetcher.fetch(&format!("http://a.example{path}")).unwrap();
    }
    assert!(start.elapsed() >= between);
    assert_eq!(own.seen.lock().unwrap().len(), 3);
}

#[test]
fn a_search_engine_names_pages() {
    let own = server(|path| match path {
        "/search?format=json&q=owls+%26+hawks" => page(
            "application/json",
            r#"{"results": [{"url": "http://a.example/owls", "title": "Owls", "content": "Owls hunt at night."}, {"url": "javascript:x"}]}"#,
        ),
        "/owls" => page("text/html", "<h1>Owls</h1><p>Owls and hawks hunt.</p>"),
        _ => NOTHING.to_owned(),
    });
    let mut web = Web::new(&format!("http://{}", own.address), fetcher(&own));
    let found = web.call("web_search", "owls & hawks").unwrap();
    assert_eq!(found.addresses, ["http://a.example/owls"]);
    assert_eq!(found.evidence[0].text, "Owls hunt at night.");
    let read = web.call("fetch", "http://a.example/owls").unwrap();
    assert!(read.evidence[0].text.contains("Owls and hawks hunt."));
    assert!(web.call("web_search", "nothing").is_err());
}
