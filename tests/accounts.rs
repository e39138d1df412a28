//! The example `accounts`: its service on a port of its own, its program as its users run it.

#[allow(dead_code)] // its `main` is not run here
#[path = "../examples/accounts/main.rs"]
mod example;

use example::{Database, Site};
use lakh::{
    core::pool::{Kind, Lane, LaneConfig, Pool, PoolConfig},
    http::testing::{OverWire, TestResponse, TestServer},
    password::{Algorithm, Hasher},
};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
};
use tempfile::TempDir;

const RIGHT: &str = "correct horse";
const WRONG: &str = "wrong horse";

type Answer = TestResponse<OverWire>;

struct Accounts {
    server: TestServer,
    database: Database,
    folder: TempDir,
}

impl Accounts {
    fn start() -> Self {
        Self::start_with(Hasher::default())
    }

    fn start_with(hasher: Hasher) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), hasher, &[])
    }

    fn start_behind(proxy: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), Hasher::default(), &[proxy])
    }

    fn start_in(folder: TempDir, hasher: Hasher, proxies: &[&str]) -> Self {
        let mut pool = PoolConfig::from_environment().unwrap();
        let database = Database::open(&folder.path().join("db"), &mut pool).unwrap();
        let proxies = proxies.iter().map(|text| text.parse().unwrap()).collect();
        let server = example::server(Site::new(database.clone(), hasher), pool, proxies).shards(2);
        Accounts { server: TestServer::from_server(server), database, folder }
    }

    /// A connection of somebody else to the same file.
    fn other_connection(&self) -> Connection {
        Connection::open(self.folder.path().join("db")).unwrap()
    }

    fn pool(&self) -> &Pool {
        self.server.running().runtime().pool()
    }

    /// Lets no password be hashed until the sender is dropped.
    fn hold_hashing(&self) -> mpsc::Sender<()> {
        let workers = self.pool().metrics().workers.into_iter().find(|of| of.kind == Kind::Cpu).unwrap();
        hold(self.pool(), Lane::CPU, workers.size)
    }

    /// How many jobs the cpu lane has taken, ever.
    fn hashes_accepted(&self) -> u64 {
        self.pool().metrics().lane(Lane::CPU).unwrap().accepted
    }

    fn wait_for_hashes(&self, count: u64) {
        while self.hashes_accepted() < count {
            thread::yield_now();
        }
    }

    fn post(&self, path: &str, session: &str, body: &Value) -> Answer {
        self.server.post(path).header("cookie", session).json(body).send()
    }

    /// The session.
    fn sign_up(&self, name: &str) -> String {
        let answer = self.post("/signup", "", &json!({ "name": name, "password": RIGHT }));
        assert_eq!(answer.status(), 201);
        session_of(&answer)
    }

    fn log_in(&self, name: &str, password: &str) -> Answer {
        self.post("/login", "", &json!({ "name": name, "password": password }))
    }

    fn who_is(&self, session: &str) -> Option<String> {
        let mut answer = self.server.get("/me").header("cookie", session).send();
        match answer.status().as_u16() {
            200 => Some(answer.json::<Value>()["name"].as_str().unwrap().to_owned()),
            status => {
                assert_eq!((status, error_of(&mut answer).as_str()), (401, "log in first"));
                None
            }
        }
    }

    /// As a browser sends a form.
    fn submit(&self, path: &str, session: &str, fields: &[(&str, &str)]) -> Answer {
        self.server
            .post(path)
            .header("cookie", session)
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-site", "same-origin")
            .form(fields.iter().copied())
            .send()
    }

    fn page(&self, session: &str) -> String {
        self.server.get("/").header("cookie", session).header("accept", "text/html").send().text()
    }
}

/// What a client sends as its cookie from then on.
fn session_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect("a cookie");
    cookie.split(';').next().unwrap().to_owned()
}

fn error_of(answer: &mut Answer) -> String {
    answer.json::<Value>()["error"].as_str().unwrap().to_owned()
}

/// Lets none of the workers do anything until the sender is dropped.
fn hold(pool: &Pool, lane: Lane, workers: usize) -> mpsc::Sender<()> {
    let (hold, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    for _ in 0..workers {
        let held = Arc::clone(&held);
        pool.run(lane, move || held.lock().unwrap().recv().is_err()).unwrap().detach();
    }
    hold
}

#[test]
fn who_signs_up_is_known_until_they_log_out() {
    let accounts = Accounts::start();
    let mut answer = accounts.post("/signup", "", &json!({ "name": "Ann", "password": RIGHT }));
    assert_eq!((answer.status().as_u16(), answer.json::<Value>()), (201, json!({ "name": "Ann" })));
    let cookie = answer.header("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=604800"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "nobody speaks TLS here: {cookie}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let session = session_of(&answer);
    assert_eq!(accounts.who_is(&session).as_deref(), Some("Ann"));
    assert_eq!(accounts.who_is("session=made-up"), None);
    let out = accounts.post("/logout", &session, &Value::Null);
    assert_eq!(out.status(), 204);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(accounts.who_is(&session), None, "it is deleted, and not forgotten by the client alone");

    let answer = accounts.log_in("ann", RIGHT);
    assert_eq!(answer.status(), 200);
    assert_eq!(accounts.who_is(&session_of(&answer)).as_deref(), Some("Ann"));
}

#[test]
fn a_login_ends_the_session_that_the_client_had_and_the_table_has_no_token() {
    let accounts = Accounts::start();
    let first = accounts.sign_up("ann");
    let answer = accounts.post("/login", &first, &json!({ "name": "ann", "password": RIGHT }));
    let second = session_of(&answer);
    assert_ne!(first, second);
    assert_eq!((accounts.who_is(&first), accounts.who_is(&second).as_deref()), (None, Some("ann")));

    let digests: Vec<Vec<u8>> = accounts
        .other_connection()
        .prepare("SELECT digest FROM sessions")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(digests.len(), 1);
    assert_eq!(digests[0].len(), 32);
    let token = second.strip_prefix("session=").unwrap();
    assert!(digests[0] != token.as_bytes()[..32]);
}

#[test]
fn a_wrong_password_and_an_unknown_name_are_answered_alike_after_one_hash_each() {
    // One of its own: the default is the process's, and counts what other tests hash.
    let hasher = Hasher::default().limit(8);
    let accounts = Accounts::start_with(hasher.clone());
    accounts.sign_up("ann");
    for name in ["ann", "nobody"] {
        let before = hasher.computed();
        let mut answer = accounts.log_in(name, WRONG);
        assert_eq!(answer.status(), 401);
        assert_eq!(error_of(&mut answer), "the name or the password is wrong");
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(hasher.computed(), before + 1, "{name}");
    }
}

#[test]
fn what_cannot_be_taken_is_said_in_words() {
    let accounts = Accounts::start();
    accounts.sign_up("ann");
    let long = "x".repeat(1025);
    for (name, password, status, words) in [
        ("ANN", RIGHT, 409, "this name is taken"),
        ("ben", "1234567", 422, "a password has at least 8 characters"),
        ("ben", &long, 422, "a password has at most 1024 bytes, and no NUL"),
        ("", RIGHT, 422, "a name has 1 to 32 letters of a to z, digits, or - _ ."),
        ("<b>", RIGHT, 422, "a name has 1 to 32 letters of a to z, digits, or - _ ."),
        (&long[..33], RIGHT, 422, "a name has 1 to 32 letters of a to z, digits, or - _ ."),
    ] {
        let mut answer = accounts.post("/signup", "", &json!({ "name": name, "password": password }));
        assert_eq!((answer.status().as_u16(), error_of(&mut answer).as_str()), (status, words));
    }
    let mut missing = accounts.post("/signup", "", &json!({ "name": "ben" }));
    assert_eq!(missing.status(), 422);
    assert!(error_of(&mut missing).contains("missing field `password`"));
    assert_eq!(accounts.server.post("/signup").text("ben").send().status(), 415);
    let large = json!({ "name": "ben", "password": "x".repeat(5_000) });
    assert_eq!(accounts.post("/signup", "", &large).status(), 413);
}

#[test]
fn browsers_are_answered_with_the_page_and_with_errors_at_the_form() {
    let accounts = Accounts::start();
    let fields = [("name", "ann"), ("password", RIGHT)];
    let answer = accounts.submit("/signup", "", &fields);
    assert_eq!((answer.status().as_u16(), answer.header("location")), (303, Some("/")));
    let session = session_of(&answer);
    assert!(accounts.page(&session).contains("<span id=\"name\">ann</span>"));
    assert!(accounts.page("").contains("action=\"/login\""));

    // The alert stands within the form that was sent.
    let mut taken = accounts.submit("/signup", "", &fields);
    assert_eq!(taken.status(), 409);
    assert!(taken.header("content-security-policy").unwrap().starts_with("default-src 'none'; "));
    let page = taken.text();
    let form = &page[page.find("action=\"/signup\"").unwrap()..];
    assert!(form.contains("<p class=\"problem\" role=\"alert\">this name is taken</p>"), "{page}");
    assert_eq!(page.matches("role=\"alert\"").count(), 1);

    let mut refused = accounts.submit("/password", &session, &[("password", WRONG), ("new", RIGHT)]);
    assert_eq!(refused.status(), 401);
    let page = refused.text();
    assert!(
        page.contains("<span id=\"name\">ann</span>") && page.contains("the name or the password is wrong")
    );

    // What a client sends comes back as text.
    let wrong = accounts.server.post("/login").header("accept", "text/html").json("<b>");
    let mut wrong = wrong.send();
    assert_eq!(wrong.status(), 422);
    let page = wrong.text();
    assert!(page.contains("&quot;&lt;b&gt;&quot;") && !page.contains("<b>"), "{page}");
    let mut nowhere = accounts.server.get("/nowhere").header("accept", "text/html").send();
    assert_eq!(nowhere.status(), 404);
    assert!(nowhere.text().contains("role=\"alert\">Not Found</p>"));
}

#[test]
fn requests_of_other_sites_are_refused() {
    let accounts = Accounts::start();
    let session = accounts.sign_up("ann");
    let own = format!("http://{}", accounts.server.addr());
    let host = accounts.server.addr().to_string();
    for (name, value, status) in [
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "same-origin", 204),
        ("sec-fetch-site", "none", 204),
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("origin", &own, 204),
    ] {
        let request = accounts.server.post("/logout").header("cookie", "session=x").header("host", &host);
        assert_eq!(request.header(name, value).send().status(), status, "{name}: {value}");
    }
    let elsewhere =
        accounts.server.post("/logout").header("cookie", &session).header("sec-fetch-site", "cross-site");
    assert_eq!(elsewhere.send().status(), 403);
    assert_eq!(accounts.who_is(&session).as_deref(), Some("ann"));
}

#[test]
fn five_wrong_passwords_for_a_name_close_it_for_a_while_whether_it_exists_or_not() {
    for name in ["ann", "nobody"] {
        let accounts = Accounts::start();
        accounts.sign_up("ann");
        // The right one costs none of them.
        assert_eq!(accounts.log_in("ann", RIGHT).status(), 200);
        for _ in 0..5 {
            assert_eq!(accounts.log_in(name, WRONG).status(), 401);
        }
        let mut answer = accounts.log_in(&name.to_uppercase(), RIGHT);
        assert_eq!(answer.status(), 429);
        assert!((1..=60).contains(&answer.header("retry-after").unwrap().parse::<u32>().unwrap()));
        assert_eq!(error_of(&mut answer), "too many wrong passwords for this name: try again later");
        assert_eq!(accounts.log_in("ben", WRONG).status(), 401, "others may try");
    }
}

#[test]
fn one_address_may_try_ten_logins_and_others_are_not_held_up() {
    let accounts = Accounts::start_behind("127.0.0.1");
    accounts.sign_up("ann");
    let log_in = |client: &str, name: &str, password: &str| {
        let body = json!({ "name": name, "password": password });
        let mut answer = accounts.server.post("/login").header("x-forwarded-for", client).json(&body).send();
        // Read to its end, so that the connection is kept: each shard counts on its own.
        answer.bytes();
        answer
    };
    for n in 0..10 {
        assert_eq!(log_in("192.0.2.1", &format!("name-{n}"), WRONG).status(), 401);
    }
    let refused = log_in("192.0.2.1", "ann", RIGHT);
    assert_eq!(refused.status(), 429);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(log_in("192.0.2.2", "ann", RIGHT).status(), 200);
}

#[test]
fn behind_a_trusted_proxy_that_speaks_tls_cookies_are_for_tls_alone() {
    for (proxy, is_secure) in [("127.0.0.1", true), ("192.0.2.7", false)] {
        let accounts = Accounts::start_behind(proxy);
        let body = json!({ "name": "ann", "password": RIGHT });
        let answer = accounts.server.post("/signup").header("x-forwarded-proto", "https").json(&body).send();
        let cookie = answer.header("set-cookie").unwrap();
        assert_eq!(cookie.starts_with("__Host-session="), is_secure, "{cookie}");
        assert_eq!(cookie.contains("; Secure"), is_secure, "{cookie}");
    }
}

#[test]
fn a_changed_password_ends_all_other_sessions() {
    let accounts = Accounts::start();
    let first = accounts.sign_up("ann");
    let second = session_of(&accounts.log_in("ann", RIGHT));
    let change = |session: &str, old: &str, new: &str| {
        accounts.post("/password", session, &json!({ "password": old, "new": new }))
    };
    assert_eq!(change("", RIGHT, "another horse").status(), 401);
    assert_eq!(change(&first, WRONG, "another horse").status(), 401);
    assert_eq!(change(&first, RIGHT, "short").status(), 422);
    let changed = change(&first, RIGHT, "another horse");
    assert_eq!(changed.status(), 204);
    assert_eq!((accounts.who_is(&first), accounts.who_is(&second)), (None, None));
    assert_eq!(accounts.who_is(&session_of(&changed)).as_deref(), Some("ann"));
    assert_eq!(accounts.log_in("ann", RIGHT).status(), 401);
    assert_eq!(accounts.log_in("ann", "another horse").status(), 200);
}

#[test]
fn a_deleted_account_is_gone_with_its_sessions() {
    let accounts = Accounts::start();
    let session = accounts.sign_up("ann");
    let other = session_of(&accounts.log_in("ann", RIGHT));
    assert_eq!(accounts.post("/delete", &session, &json!({ "password": WRONG })).status(), 401);
    assert_eq!(accounts.who_is(&other).as_deref(), Some("ann"));
    let deleted = accounts.post("/delete", &session, &json!({ "password": RIGHT }));
    assert_eq!(deleted.status(), 204);
    assert_eq!((accounts.who_is(&session), accounts.who_is(&other)), (None, None));
    let left: i64 = accounts
        .other_connection()
        .query_one("SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM accounts)", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(left, 0);
    assert_eq!(accounts.log_in("ann", RIGHT).status(), 401);
    accounts.sign_up("ann");
}

#[test]
fn sessions_end_by_time_and_the_oldest_of_more_than_sixteen() {
    let accounts = Accounts::start_behind("127.0.0.1");
    let first = accounts.sign_up("ann");
    let log_in = |n: usize| {
        let body = json!({ "name": "ann", "password": RIGHT });
        let request = accounts.server.post("/login").header("x-forwarded-for", format!("192.0.2.{n}"));
        session_of(&request.json(&body).send())
    };
    let connection = accounts.other_connection();
    // Sessions of one second are of one age.
    connection.execute("UPDATE sessions SET expires = expires - 1", []).unwrap();
    let mut last = String::new();
    for n in 1..16 {
        last = log_in(n);
    }
    assert_eq!(accounts.who_is(&first).as_deref(), Some("ann"));
    let seventeenth = log_in(16);
    assert_eq!(accounts.who_is(&first), None);
    assert!(accounts.who_is(&last).is_some() && accounts.who_is(&seventeenth).is_some());

    connection.execute("UPDATE sessions SET expires = unixepoch()", []).unwrap();
    assert_eq!(accounts.who_is(&last), None);
    let again = log_in(17);
    assert!(accounts.who_is(&again).is_some());
    let left: i64 = connection.query_one("SELECT count(*) FROM sessions", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1, "those that are over are removed");
}

/// An account whose hash is of another algorithm than new ones.
fn with_an_old_hash() -> (Accounts, String) {
    let accounts = Accounts::start_with(Hasher::new(Algorithm::Bcrypt { cost: 4 }).unwrap());
    let session = accounts.sign_up("ann");
    let Accounts { server, database, folder } = accounts;
    drop(server);
    database.close().unwrap();
    (Accounts::start_in(folder, Hasher::default(), &[]), session)
}

#[test]
fn two_logins_at_once_replace_a_hash_of_old_and_both_are_let_in() {
    let (accounts, _) = with_an_old_hash();
    let hold = accounts.hold_hashing();
    let before = accounts.hashes_accepted();
    thread::scope(|scope| {
        let logins = [(); 2].map(|()| scope.spawn(|| accounts.log_in("ann", RIGHT)));
        accounts.wait_for_hashes(before + 2);
        // Both have read the old hash by now.
        drop(hold);
        for login in logins {
            let answer = login.join().unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(accounts.who_is(&session_of(&answer)).as_deref(), Some("ann"));
        }
    });
}

#[test]
fn a_hash_of_old_is_replaced_at_the_next_login() {
    let (accounts, session) = with_an_old_hash();
    let connection = accounts.other_connection();
    let hash =
        || connection.query_one("SELECT hash FROM accounts", [], |row| row.get::<_, String>(0)).unwrap();
    assert!(hash().starts_with("$2"));
    assert_eq!(accounts.log_in("ann", WRONG).status(), 401);
    assert!(hash().starts_with("$2"));
    assert_eq!(accounts.log_in("ann", RIGHT).status(), 200);
    assert!(hash().starts_with("$argon2id$"));
    assert_eq!(accounts.log_in("ann", RIGHT).status(), 200);
    assert_eq!(accounts.who_is(&session).as_deref(), Some("ann"), "and that ends no session");
}

#[test]
fn while_no_password_can_be_hashed_everything_else_goes_on() {
    let accounts = Accounts::start_with(Hasher::default().limit(2));
    let session = accounts.sign_up("ann");
    let hold = accounts.hold_hashing();
    let before = accounts.hashes_accepted();
    thread::scope(|scope| {
        let logins = [(); 2].map(|()| scope.spawn(|| accounts.log_in("ann", RIGHT).status()));
        accounts.wait_for_hashes(before + 2);
        assert_eq!(accounts.server.get("/health").send().text(), "ok");
        assert_eq!(accounts.who_is(&session).as_deref(), Some("ann"), "the database has a lane of its own");
        // There is room for two.
        let mut third = accounts.log_in("ann", RIGHT);
        assert_eq!((third.status().as_u16(), third.header("retry-after")), (503, Some("1")));
        assert_eq!(error_of(&mut third), "Service Unavailable");
        assert!(logins.iter().all(|login| !login.is_finished()));
        drop(hold);
        for login in logins {
            assert_eq!(login.join().unwrap(), 200);
        }
    });
}

#[test]
fn a_password_that_is_changed_while_it_is_verified_lets_nobody_in() {
    let accounts = Accounts::start();
    let session = accounts.sign_up("ann");
    let right = json!({ "password": RIGHT });
    let connection = accounts.other_connection();
    let hold = accounts.hold_hashing();
    let before = accounts.hashes_accepted();
    thread::scope(|scope| {
        let login = scope.spawn(|| accounts.log_in("ann", RIGHT).status());
        let delete = scope.spawn(|| accounts.post("/delete", &session, &right).status());
        accounts.wait_for_hashes(before + 2);
        // Both have read the hash by now.
        connection.execute("UPDATE accounts SET hash = replace(hash, '$', '$$')", []).unwrap();
        drop(hold);
        assert_eq!((login.join().unwrap().as_u16(), delete.join().unwrap().as_u16()), (401, 401));
    });
    let left = "SELECT (SELECT count(*) FROM sessions) + 10 * (SELECT count(*) FROM accounts)";
    assert_eq!(connection.query_one(left, [], |row| row.get::<_, i64>(0)).unwrap(), 11);
}

#[test]
fn while_the_database_is_at_work_others_wait_within_a_bound() {
    let accounts = Accounts::start();
    let session = accounts.sign_up("ann");
    // Lanes are numbers: this is the one that the database has got.
    let lane = PoolConfig::new(1).add_lane("the first of one's own", LaneConfig::new(Kind::Io));
    let hold = hold(accounts.pool(), lane, 1);
    while accounts.pool().metrics().lane(lane).unwrap().queued > 0 {
        thread::yield_now();
    }
    for _ in 0..256 {
        accounts.pool().run(lane, || ()).unwrap().detach();
    }
    let refused = accounts.server.get("/me").header("cookie", &session).send();
    assert_eq!((refused.status().as_u16(), refused.header("retry-after")), (503, Some("1")));
    assert_eq!(accounts.server.get("/health").send().text(), "ok");
    let mut page = accounts.server.get("/").header("cookie", &session).header("accept", "text/html").send();
    assert_eq!((page.status().as_u16(), page.header("retry-after")), (503, Some("1")));
    assert!(page.text().contains("role=\"alert\">Service Unavailable</p>"));
    drop(hold);
    while accounts.pool().metrics().lane(lane).unwrap().queued > 0 {
        thread::yield_now();
    }
    assert_eq!(accounts.who_is(&session).as_deref(), Some("ann"));
}

#[test]
fn a_database_that_is_locked_or_broken_or_closed_is_an_answer() {
    let accounts = Accounts::start();
    let session = accounts.sign_up("ann");
    let mut other = accounts.other_connection();
    let transaction = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let locked = accounts.post("/signup", "", &json!({ "name": "ben", "password": RIGHT }));
    assert_eq!((locked.status().as_u16(), locked.header("retry-after")), (503, Some("1")));
    assert_eq!(accounts.who_is(&session).as_deref(), Some("ann"), "readers are not held up");
    transaction.rollback().unwrap();
    accounts.sign_up("ben");

    other.execute("DROP TABLE sessions", []).unwrap();
    let mut broken = accounts.server.get("/me").header("cookie", &session).send();
    assert_eq!(broken.status(), 500);
    assert_eq!(error_of(&mut broken), "Internal Server Error", "the cause is for the log");
    // Nothing is left of an account whose session could not be made.
    let half = accounts.post("/signup", "", &json!({ "name": "cat", "password": RIGHT }));
    assert_eq!(half.status(), 500);
    let cats =
        other.query_one("SELECT count(*) FROM accounts WHERE name = 'cat'", [], |row| row.get::<_, i64>(0));
    assert_eq!(cats.unwrap(), 0);

    accounts.database.close().unwrap();
    assert_eq!(accounts.server.get("/me").header("cookie", &session).send().status(), 503);
    assert_eq!(accounts.server.get("/health").send().status(), 200);
}

#[cfg(unix)]
mod program;

#[cfg(unix)]
mod as_a_program {
    use super::*;
    use program::Program;
    use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

    fn start(database: &Path) -> Program {
        Program::start_with("accounts", &["--database".as_ref(), database.as_os_str()])
    }

    fn send(program: &Program, request: &str, session: &str, body: &str) -> String {
        let length = body.len();
        program.ask(&format!(
            "{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: {session}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    fn status(answer: &str) -> &str {
        answer.strip_prefix("HTTP/1.1 ").unwrap().get(..3).unwrap()
    }

    #[test]
    fn a_restart_keeps_accounts_and_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("db");
        let right = r#"{"name": "ann", "password": "correct horse"}"#;
        let mut program = start(&file);
        let answer = send(&program, "POST /signup", "", right);
        assert_eq!(status(&answer), "201");
        let session = answer.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(program.end().success());
        // What was in the log is in the file.
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["db"]);

        let mut program = start(&file);
        assert!(send(&program, "GET /me", &session, "").ends_with(r#"{"name":"ann"}"#));
        assert_eq!(status(&send(&program, "POST /login", "", &right.replace("horse", "house"))), "401");
        assert_eq!(status(&send(&program, "POST /signup", "", right)), "409");
        assert_eq!(status(&send(&program, "POST /logout", &session, "")), "204");
        assert_eq!(status(&send(&program, "GET /me", &session, "")), "401");
        assert_eq!(status(&send(&program, "POST /login", "", right)), "200");
        assert!(program.end().success());
    }

    #[test]
    fn what_it_cannot_do_is_said_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let (text, newer) = (folder.path().join("text"), folder.path().join("newer"));
        fs::write(&text, "this is no database".repeat(100)).unwrap();
        Connection::open(&newer).unwrap().pragma_update(None, "user_version", 2).unwrap();
        let (unused, used) =
            (folder.path().join("unused"), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let taken = used.local_addr().unwrap().to_string();
        let cases: [(&[&str], &str); 6] = [
            (&["--database", unused.to_str().unwrap(), "--listen", &taken], "cannot serve on 127.0.0.1:"),
            (&["--database", "/nowhere/db"], "--database /nowhere/db: No such file or directory"),
            (&["--database", text.to_str().unwrap()], "file is not a database"),
            (&["--database", newer.to_str().unwrap()], "version 2 of the tables is not known here"),
            (&["--proxy", "home"], "--proxy home: the network's address is no IP address"),
            (
                &["--data", "x"],
                "usage: accounts [--listen ADDR:PORT] [--shards N] [--database VALUE] [--proxy VALUE]",
            ),
        ];
        for (args, expected) in cases {
            let output = Command::new(Program::path("accounts")).args(args).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
            assert!(said.starts_with("accounts: ") && said.contains(expected), "{said}");
        }
        assert!(unused.exists() && !folder.path().join("unused-wal").exists(), "it was closed in order");
    }
}
