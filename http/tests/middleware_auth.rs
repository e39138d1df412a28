//! Who may come in.

mod common;

use common::{Answer, TestServer};
use lakh_core::pool::PoolFull;
use lakh_http::{
    App, HandlerError, HandlerResult, Request, StatusCode,
    extract::Extension,
    middleware::{BasicAuth, BearerAuth, BearerToken, Credentials, UserName},
};
use std::{error::Error, fmt};

#[derive(Clone)]
struct User(String);

fn app() -> App {
    let staff = |given: Credentials| given.password_is("p:w").then(|| User(given.name().to_owned()));
    let basic = App::new()
        .get("/", |Extension(user): Extension<User>| user.0)
        .post("/", async |Extension(user): Extension<User>, body: String| format!("{}: {body}", user.0))
        .wrap(BasicAuth::new("the \"staff\"", staff));
    let token = async |token: BearerToken| -> HandlerResult<Option<User>> {
        lakh_core::sleep(std::time::Duration::ZERO).await;
        match token.as_str() {
            "good" => Ok(Some(User("ada".to_owned()))),
            "down" => Err(HandlerError::status_only(StatusCode::SERVICE_UNAVAILABLE)),
            _ => Ok(None),
        }
    };
    let bearer = App::new()
        .get("/", async |request: Request| request.head().extension::<User>().unwrap().0.clone())
        .wrap(BearerAuth::new("api", token));
    App::new().get("/open", || "open").nest("/basic", basic).nest("/bearer", bearer)
}

fn ask(server: &TestServer, path: &str, authorization: &str) -> Answer {
    server.connect().ask("GET", path, &[("Authorization", authorization)], "")
}

#[test]
fn basic_lets_in_whom_the_check_knows_and_gives_the_handler_the_user() {
    let server = TestServer::start(|_| app());
    // ada:p:w; the name ends at the first colon.
    for field in ["Basic YWRhOnA6dw==", "basic YWRhOnA6dw==", "BASIC   YWRhOnA6dw=="] {
        let answer = ask(&server, "/basic", field);
        assert_eq!((answer.status, answer.text()), (200, "ada"), "{field}");
        assert_eq!(answer.field("www-authenticate"), None);
    }
    let fields = [("Authorization", "Basic w7w6cDp3")];
    let answer = server.connect().ask("POST", "/basic", &fields, "text");
    assert_eq!((answer.status, answer.text()), (200, "\u{fc}: text"), "names are UTF-8");
}

#[test]
fn basic_asks_the_others_who_they_are() {
    let server = TestServer::start(|_| app());
    let refused = |answer: Answer, what: &str| {
        assert_eq!(answer.status, 401, "{what}");
        let challenge = "Basic realm=\"the \\\"staff\\\"\", charset=\"UTF-8\"";
        assert_eq!(answer.field("www-authenticate"), Some(challenge), "{what}");
    };
    refused(server.connect().ask("GET", "/basic", &[], ""), "nothing");
    for field in [
        "Basic YWRhOnh4eA==", // ada:xxx
        "Basic YWRh",         // ada
        "Basic //8=",         // no UTF-8
        "Basic !",
        "Basic",
        "Basic ",
        "Bearer YWRhOnA6dw==",
        "YWRhOnA6dw==",
    ] {
        refused(ask(&server, "/basic", field), field);
    }
    let twice = [("Authorization", "Basic YWRhOnA6dw=="), ("Authorization", "Basic YWRhOnh4eA==")];
    refused(server.connect().ask("GET", "/basic", &twice, ""), "two");
    refused(server.connect().ask("DELETE", "/basic", &[], ""), "405 is for those who are in");
    assert_eq!(server.connect().ask("GET", "/open", &[], "").text(), "open");
}

#[test]
fn bearer_tells_a_missing_token_from_a_refused_one() {
    let server = TestServer::start(|_| app());
    let good = ask(&server, "/bearer", "Bearer good");
    assert_eq!((good.status, good.text()), (200, "ada"));
    let missing = server.connect().ask("GET", "/bearer", &[], "");
    assert_eq!(missing.field("www-authenticate"), Some("Bearer realm=\"api\""));
    for field in ["Bearer", "Bearer ", "Bearer a b", "Basic good"] {
        let answer = ask(&server, "/bearer", field);
        assert_eq!(answer.field("www-authenticate"), missing.field("www-authenticate"), "{field}");
    }
    let refused = ask(&server, "/bearer", "Bearer bad");
    assert_eq!(refused.status, 401);
    let challenge = "Bearer realm=\"api\", error=\"invalid_token\"";
    assert_eq!(refused.field("www-authenticate"), Some(challenge));
}

#[test]
fn what_keeps_a_check_from_its_work_is_the_answer() {
    let server = TestServer::start(|_| app());
    let answer = ask(&server, "/bearer", "Bearer down");
    assert_eq!((answer.status, answer.field("www-authenticate")), (503, None));
}

#[test]
fn a_refusal_is_rendered_and_keeps_its_challenge() {
    let server = TestServer::start(|_| {
        app().on_error(|error: &HandlerError| (error.status(), format!("{{\"error\": {}}}", error.status())))
    });
    let answer = server.connect().ask("GET", "/bearer", &[], "");
    assert_eq!((answer.status, answer.text()), (401, "{\"error\": 401 Unauthorized}"));
    assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"api\""));
}

/// As a password file does, which stands in another crate: a full hasher is an error with a refusal as its source.
#[test]
fn a_verifier_of_passwords_says_who_comes_in_and_503_when_it_has_no_room() {
    #[derive(Debug)]
    struct Full(PoolFull);
    impl fmt::Display for Full {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no room")
        }
    }
    impl Error for Full {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    let server = TestServer::start(|_| {
        let verify = move |name: &str, password: &str| {
            let verdict = match name {
                "busy" => Err(Full(PoolFull::at_bound("passwords", 64))),
                _ => Ok(password == "p:w"),
            };
            async move {
                lakh_core::sleep(std::time::Duration::ZERO).await;
                verdict
            }
        };
        App::new()
            .get("/", |Extension(user): Extension<UserName>| format!("hello, {user}"))
            .wrap(BasicAuth::passwords("staff", verify))
    });
    let right = ask(&server, "/", "Basic YWRhOnA6dw==");
    assert_eq!((right.status, right.text()), (200, "hello, ada"));
    for field in ["Basic YWRhOnh4eA==", "Basic YWRh", "Bearer YWRhOnA6dw=="] {
        let answer = ask(&server, "/", field);
        let challenge = "Basic realm=\"staff\", charset=\"UTF-8\"";
        assert_eq!((answer.status, answer.field("www-authenticate")), (401, Some(challenge)), "{field}");
    }
    // busy:p:w
    let busy = ask(&server, "/", "Basic YnVzeTpwOnc=");
    assert_eq!(
        (busy.status, busy.field("retry-after"), busy.field("www-authenticate")),
        (503, Some("1"), None)
    );
    assert!(!busy.text().contains("room"), "why is for the log");
}
