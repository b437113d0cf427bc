//! PostgreSQL and MariaDB, started for the tests by `tests/servers/*.sh` on sockets of their own; skipped where they are not
//! installed.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Cell, Database, MySql, Postgres, Rules};
use crate::Error;
use crate::ask::{Grammar, answer};
use crate::guard::Checked;

/// A server that ends with the test.
struct Server {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(script: &str) -> Option<Self> {
        Self::listening(script, None)
    }

    /// With TLS on a free port, where `port` asks for one.
    fn listening(script: &str, port: Option<u16>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(script);
        let mut child = Command::new("bash")
            .arg(&script)
            .arg(folder.path())
            .args(port.map(|port| port.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        if address.trim().is_empty() {
            let code = child.wait().unwrap().code();
            assert_eq!(code, Some(77), "{} failed", script.display());
            println!("skipped: {} finds no server installed", script.display());
            return None;
        }
        Some(Self { child, address: address.trim().to_owned(), folder })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Opens a database by its address.
type Connect = dyn Fn(&str) -> Result<Box<dyn Database>, Error>;

/// Every mode of TLS against a server whose certificate is for `localhost`; `is_secured` asks the server itself.
fn tls_is_what_was_asked_for(server: &Server, connect: &Connect, is_secured: &dyn Fn(&dyn Database) -> bool) {
    let root = server.folder.path().join("authority.pem");
    let root = format!("sslrootcert={}", root.display());
    let by_number = server.address.replace("localhost", "127.0.0.1");
    let other = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=other",
        ])
        .args(["-keyout", "key", "-out", "other.pem"])
        .current_dir(other.path())
        .output()
        .unwrap();
    assert!(made.status.success());
    let other = format!("sslrootcert={}", other.path().join("other.pem").display());
    for (address, options, secured) in [
        (&server.address, "sslmode=disable".to_owned(), Some(false)),
        (&server.address, String::new(), Some(true)),
        (&server.address, "sslmode=prefer".to_owned(), Some(true)),
        (&server.address, "sslmode=require".to_owned(), Some(true)),
        (&server.address, format!("sslmode=verify-full&{root}"), Some(true)),
        (&by_number, format!("sslmode=verify-ca&{root}"), Some(true)),
        // The certificate is for another name, of another authority, or of none that the system knows.
        (&by_number, format!("sslmode=verify-full&{root}"), None),
        (&server.address, format!("sslmode=verify-full&{other}"), None),
        (&server.address, format!("sslmode=require&{other}"), None),
        (&server.address, "sslmode=verify-full".to_owned(), None),
        (&server.address, "sslmode=verify-ca".to_owned(), None),
        (&server.address, "sslmode=full".to_owned(), None),
    ] {
        let address = format!("{address}?{options}");
        let opened = connect(&address);
        assert_eq!(opened.as_ref().ok().map(|database| is_secured(database.as_ref())), secured, "{address}");
        if let Err(error) = opened {
            let text = error.to_string();
            assert!(text.contains("certificate") || text.contains("verify-full"), "{address}: {text}");
        }
    }
}

#[test]
fn postgres_is_asked_under_tls() {
    let Some(server) = Server::listening("postgres.sh", Some(free_port())) else { return };
    tls_is_what_was_asked_for(
        &server,
        &|address| Ok(Box::new(Postgres::connect(address, rules())?)),
        &|database| {
            let sql = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()".to_owned();
            database.run(&Checked { sql, named: Vec::new() }).unwrap().rows == [[text("true")]]
        },
    );
}

#[test]
fn mariadb_is_asked_under_tls() {
    let Some(server) = Server::listening("mariadb.sh", Some(free_port())) else { return };
    tls_is_what_was_asked_for(
        &server,
        &|address| Ok(Box::new(MySql::connect(address, rules())?)),
        &|database| {
            let sql = "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'SSL_CIPHER'";
            let rows = database.run(&Checked { sql: sql.to_owned(), named: Vec::new() }).unwrap().rows;
            rows != [[text("")]]
        },
    );
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn rules() -> Rules {
    Rules { seconds: 1.0, private: vec![("customer".to_owned(), "phone".to_owned())], ..Rules::default() }
}

/// The engine's own guards, asked without the parser's: every statement must fail.
fn engine_refuses(database: &dyn Database, attacks: &[&str]) {
    for attack in attacks {
        let checked = Checked { sql: (*attack).to_owned(), named: Vec::new() };
        let found = database.run(&checked);
        assert!(found.is_err(), "the engine ran {attack}: {found:?}");
    }
}

/// Statements that the parser's guard stops; some of them the engine would allow.
fn parser_refuses(database: &dyn Database, attacks: &[&str]) {
    for attack in attacks {
        let refused = database.query(attack);
        assert!(matches!(refused, Err(Error::Refused(_))), "{attack}: {refused:?}");
    }
}

#[test]
fn postgres_is_asked_and_not_changed() {
    let Some(server) = Server::start("postgres.sh") else { return };
    let mut admin = postgres::Client::connect(&server.address, postgres::NoTls).unwrap();
    admin
        .batch_execute(
            "CREATE TYPE mood AS ENUM ('good', 'bad');
             CREATE TABLE customer (id int PRIMARY KEY, name text, country varchar(20), phone text, feels mood);
             CREATE TABLE invoice (id serial PRIMARY KEY, customer_id int REFERENCES customer, day date,
                 amount numeric(10, 2), share real, is_paid bool, key uuid, extra jsonb, took interval);
             INSERT INTO customer VALUES (1, 'Ada', 'Norway', '1', 'good'), (2, 'Ben', 'Chile', '2', NULL);
             INSERT INTO invoice VALUES (1, 1, '2010-03-01', 5.25, 0.5, true,
                 '00112233-4455-6677-8899-aabbccddeeff', '{\"a\": 1}', '1 day 02:00:00'), (2, 1, '2011-04-01', 7, NULL, false,
                 NULL, NULL, NULL), (3, 2, '2010-05-01', 1234567.5, NULL, NULL, NULL, NULL, NULL);
             CREATE TABLE visit (at timestamptz); INSERT INTO visit VALUES ('2010-03-01 12:00:00.5+00');
             CREATE SEQUENCE counter;
             CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS 'SELECT ''taken over''';",
        )
        .unwrap();
    let database = Postgres::connect(&server.address, rules()).unwrap();
    assert!(database.notes()[0].contains("may also write"));
    let invoice = database.schema().table("invoice").unwrap();
    assert_eq!(invoice.columns[1].references, Some(("customer".to_owned(), "id".to_owned())));
    assert!(invoice.columns[0].is_key && !invoice.columns[1].is_key);
    let found = database
        .query("SELECT day, amount, share, is_paid, key, extra, took FROM invoice ORDER BY id LIMIT 1")
        .unwrap();
    assert_eq!(
        found.rows[0],
        [
            text("2010-03-01"),
            Cell::Real(5.25),
            Cell::Real(0.5),
            text("true"),
            text("00112233-4455-6677-8899-aabbccddeeff"),
            text("{\"a\": 1}"),
            text("1 day 02:00:00")
        ]
    );
    assert_eq!(
        database.query("SELECT feels FROM customer ORDER BY id").unwrap().rows,
        [[text("good")], [Cell::Null]]
    );
    assert_eq!(database.query("SELECT at FROM visit").unwrap().rows, [[text("2010-03-01 12:00:00.5")]]);
    // A function of the same name in `public` does not take the place of the system's.
    assert_eq!(
        database.query("SELECT lower(name) FROM customer ORDER BY id LIMIT 1").unwrap().rows,
        [[text("ada")]]
    );
    let mut grammar = Grammar::new(&database);
    let said = answer(&database, &mut grammar, "total amount of invoices in 2010").unwrap();
    assert_eq!(said.rows.rows, [[Cell::Real(1_234_572.75)]]);
    let said = answer(&database, &mut grammar, "How many customers per country?").unwrap();
    assert_eq!(said.rows.rows, [[text("Chile"), Cell::Integer(1)], [text("Norway"), Cell::Integer(1)]]);
    let unknown = database.query("SELECT nam FROM customer").unwrap_err().to_string();
    assert!(unknown.contains("there is no column nam") && unknown.contains("customer.name"), "{unknown}");
    let slow = "SELECT count(*) FROM customer a, customer b, customer c, customer d, customer e, customer f, customer g, customer h, \
                customer i, customer j, customer k, customer l, customer m, customer n, customer o, customer p, customer q, \
                customer r, customer s, customer t, customer u, customer v, customer w, customer x, customer y, customer z, \
                invoice aa, invoice ab, invoice ac, invoice ad";
    let stopped = database.query(slow);
    assert!(matches!(stopped, Err(Error::Stopped { seconds }) if seconds < 20.0), "{stopped:?}");
    let few = Postgres::connect(&server.address, Rules { most_rows: 2, ..Rules::default() }).unwrap();
    let cut = few.query("SELECT a.id FROM invoice a, invoice b, invoice c").unwrap();
    assert!(cut.is_cut && cut.rows.len() == 2);
    engine_refuses(
        &database,
        &[
            "INSERT INTO customer VALUES (9)",
            "UPDATE customer SET name = ''",
            "DELETE FROM invoice",
            "DROP TABLE invoice",
            "CREATE TABLE x (y int)",
            "WITH d AS (DELETE FROM invoice RETURNING id) SELECT id FROM d",
            "SELECT id INTO copied FROM customer",
            "SELECT id FROM customer FOR UPDATE",
            "SELECT nextval('counter')",
            "SELECT setval('counter', 9)",
            "SELECT 1; DROP TABLE invoice",
            "COMMIT; DROP TABLE invoice",
            "COPY customer FROM PROGRAM 'id'",
            "CREATE EXTENSION dblink",
            "VACUUM",
            "REFRESH MATERIALIZED VIEW x",
        ],
    );
    parser_refuses(
        &database,
        &[
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT pg_ls_dir('/')",
            "SELECT set_config('transaction_read_only', 'off', false)",
            "SELECT pg_sleep(100)",
            "SELECT pg_terminate_backend(1)",
            "SELECT pg_advisory_lock(1)",
            // The engine allows both in a read-only transaction, and rolls them back.
            "SELECT lo_create(0)",
            "SELECT lo_import('/etc/passwd')",
            "SELECT lo_export(1, '/tmp/gyrus-x')",
            "SELECT query_to_xml('DELETE FROM invoice', true, true, '')",
            "SELECT dblink('host=x', 'SELECT 1')",
            "COPY customer TO '/tmp/gyrus-x'",
            "COPY (SELECT 1) TO PROGRAM 'id'",
            "SET default_transaction_read_only = off",
            "BEGIN READ WRITE",
            "COMMIT",
            "SELECT * FROM pg_catalog.pg_authid",
            "SELECT * FROM pg_shadow",
            "SELECT * FROM information_schema.tables",
            "SELECT customer FROM customer",
            "SELECT json_agg(c) FROM customer c",
            "SELECT (c).phone FROM customer c",
            "SELECT p FROM customer AS c(a, b, n, p)",
            "SELECT phone FROM customer",
            "SELECT count(*) FROM generate_series(1, 1000000000)",
            "EXPLAIN ANALYZE SELECT 1",
            "DO 'BEGIN END'",
            "CALL x()",
            "LISTEN x",
        ],
    );
    // A connection that reads nothing for a while is still usable, and nothing has changed.
    let count = admin.query_one("SELECT count(*) FROM invoice", &[]).unwrap().get::<_, i64>(0);
    let value = admin.query_one("SELECT is_called FROM counter", &[]).unwrap().get::<_, bool>(0);
    assert_eq!((count, value), (3, false));
    assert!(!Path::new("/tmp/gyrus-x").exists());
    let wrong =
        Postgres::connect("postgres://ada:secret@127.0.0.1:1/x", Rules::default()).unwrap_err().to_string();
    assert!(
        wrong.starts_with("cannot open postgres://ada@127.0.0.1:1/x: ") && !wrong.contains("secret"),
        "{wrong}"
    );
}

#[test]
fn mariadb_is_asked_and_not_changed() {
    use mysql::prelude::Queryable;
    let Some(server) = Server::start("mariadb.sh") else { return };
    let mut admin = mysql::Conn::new(mysql::Opts::from_url(&server.address).unwrap()).unwrap();
    for sql in [
        "CREATE TABLE customer (id int PRIMARY KEY, name varchar(20), country varchar(20), phone text)",
        "CREATE TABLE invoice (id int PRIMARY KEY, customer_id int, day date, amount decimal(10, 2), `order` int, \
         FOREIGN KEY (customer_id) REFERENCES customer(id))",
        "INSERT INTO customer VALUES (1, 'Ada', 'Norway', '1'), (2, 'Ben', 'Chile', '2')",
        "INSERT INTO invoice VALUES (1, 1, '2010-03-01', 5.25, 1), (2, 1, '2011-04-01', 7, 2), \
         (3, 2, '2010-05-01', 4, 3)",
        "CREATE TABLE visit (at datetime)",
        "INSERT INTO visit VALUES ('2010-03-01 12:00:01')",
        "CREATE SEQUENCE counter",
    ] {
        admin.query_drop(sql).unwrap();
    }
    let database = MySql::connect(&server.address, rules()).unwrap();
    assert!(database.notes()[0].contains("may also write"));
    let invoice = database.schema().table("invoice").unwrap();
    assert_eq!(invoice.columns[1].references, Some(("customer".to_owned(), "id".to_owned())));
    let found = database.query("SELECT day, amount, `order` FROM invoice ORDER BY id LIMIT 1").unwrap();
    assert_eq!(found.rows[0], [text("2010-03-01"), Cell::Real(5.25), Cell::Integer(1)]);
    assert_eq!(database.query("SELECT at FROM visit").unwrap().rows, [[text("2010-03-01 12:00:01")]]);
    let mut grammar = Grammar::new(&database);
    let said = answer(&database, &mut grammar, "total amount of invoices in 2010").unwrap();
    assert_eq!(said.rows.rows, [[Cell::Real(9.25)]]);
    let said = answer(&database, &mut grammar, "How many customers per country?").unwrap();
    assert_eq!(said.rows.rows.len(), 2);
    let unknown = database.query("SELECT nam FROM customer").unwrap_err().to_string();
    assert!(unknown.contains("there is no column nam") && unknown.contains("customer.name"), "{unknown}");
    let tables: Vec<String> = (0..18).map(|at| format!("invoice i{at}")).collect();
    let slow = format!("SELECT sum(i0.amount * i17.amount + i9.id) FROM {}", tables.join(", "));
    let stopped = database.query(&slow);
    assert!(matches!(stopped, Err(Error::Stopped { seconds }) if seconds < 20.0), "{stopped:?}");
    engine_refuses(
        &database,
        &[
            "INSERT INTO customer VALUES (9, '', '', '')",
            "UPDATE customer SET name = ''",
            "DELETE FROM invoice",
            "DROP TABLE invoice",
            "CREATE TABLE x (y int)",
            "SELECT 1; DROP TABLE invoice",
            "SELECT nextval(counter)",
            "TRUNCATE invoice",
            "REPLACE INTO customer VALUES (1, '', '', '')",
            "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE customer",
        ],
    );
    parser_refuses(
        &database,
        &[
            "SELECT load_file('/etc/passwd')",
            "SELECT name FROM customer INTO OUTFILE '/tmp/gyrus-x'",
            "SELECT name INTO DUMPFILE '/tmp/gyrus-x' FROM customer",
            "SELECT name INTO @x FROM customer",
            "SELECT @@datadir",
            "SELECT @x := 1",
            "SELECT get_lock('x', 1000)",
            "SELECT sleep(100)",
            "SELECT benchmark(1000000000, md5('x'))",
            "SELECT name FROM customer FOR UPDATE",
            "SELECT name FROM customer LOCK IN SHARE MODE",
            "SELECT user FROM mysql.user",
            "SELECT table_name FROM information_schema.tables",
            "SELECT phone FROM customer",
            "SELECT * FROM customer",
            "SET SESSION TRANSACTION READ WRITE",
            "DO sleep(100)",
            "HANDLER customer OPEN",
            "SELECT 'a\\\\', ' UNION SELECT load_file(0x2f6574632f706173737764) -- '",
        ],
    );
    // The text that the guard prints is the text that the server reads, also where it holds a backslash.
    let checked = Checked { sql: "SELECT 'a\\', ' -- b'".to_owned(), named: Vec::new() };
    assert_eq!(database.run(&checked).unwrap().rows, [[text("a\\"), text(" -- b")]]);
    let count: Option<u64> = admin.query_first("SELECT count(*) FROM invoice").unwrap();
    assert_eq!(count, Some(3));
    let wrong = MySql::connect("mysql://ada:secret@127.0.0.1:1/x", Rules::default()).unwrap_err().to_string();
    assert!(
        wrong.starts_with("cannot open mysql://ada@127.0.0.1:1/x: ") && !wrong.contains("secret"),
        "{wrong}"
    );
    let nameless = MySql::connect("mysql://ada@127.0.0.1", Rules::default()).unwrap_err().to_string();
    assert!(nameless.contains("names no database"), "{nameless}");
}
