//! Passwords in a service: what its users get when hashing cannot keep up.

use lakh::{
    core::pool::{Kind, Lane},
    http::{
        App, HandlerResult,
        extract::State,
        middleware::BasicAuth,
        testing::{self, TestClient},
    },
    password::{Algorithm, Hasher, Htpasswd, PasswordHash},
};
use std::sync::{Arc, Mutex, mpsc};

/// `correct horse`, made by `htpasswd -nbB -C 5`.
const ANN: &str = "ann:$2y$05$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C";
const RIGHT: &str = "Basic YW5uOmNvcnJlY3QgaG9yc2U=";
const WRONG: &str = "Basic YW5uOmd1ZXNzZWQ=";
const ALSO_WRONG: &str = "Basic YW5uOmd1ZXNz";

/// A hasher with room for one.
fn hasher() -> Hasher {
    Hasher::new(Algorithm::Bcrypt { cost: 4 }).unwrap().limit(1)
}

async fn log_in(State(hasher): State<Hasher>, password: String) -> HandlerResult<&'static str> {
    let stored: PasswordHash = ANN.split_once(':').unwrap().1.parse()?;
    let verdict = hasher.verify(password, Some(&stored)).await?;
    Ok(if verdict.is_right() { "right" } else { "wrong" })
}

fn app() -> App<Hasher> {
    let mut users = Htpasswd::new(hasher()).unwrap();
    users.add_line(ANN).unwrap();
    let files = App::with_state(hasher())
        .get("/", || "hello")
        .wrap(BasicAuth::passwords("staff", move |name, password| users.verify(name, password)));
    App::with_state(hasher()).post("/log-in", log_in).nest("/files", files)
}

async fn status(client: &TestClient, authorization: &str) -> (u16, Option<String>) {
    let answer = client.get("/files").header("authorization", authorization).send().await;
    (answer.status().as_u16(), answer.header("retry-after").map(str::to_owned))
}

/// Lets no hash begin until the sender is dropped.
fn hold_the_cpu_lane() -> mpsc::Sender<()> {
    let (hold, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    lakh::core::with(|shard| {
        let workers =
            shard.pool().metrics().workers.into_iter().find(|workers| workers.kind == Kind::Cpu).unwrap();
        for _ in 0..workers.size {
            let held = Arc::clone(&held);
            let wait = move || held.lock().unwrap().recv().is_err();
            shard.pool().run(Lane::CPU, wait).unwrap().detach();
        }
    });
    hold
}

/// How many jobs the cpu lane has taken, ever.
fn accepted() -> u64 {
    lakh::core::with(|shard| shard.pool().metrics().lane(Lane::CPU).unwrap().accepted)
}

#[test]
fn one_too_many_is_told_to_come_back_and_who_is_remembered_comes_in() {
    testing::run(
        |_| app(),
        async |client| {
            assert_eq!(status(&client, RIGHT).await, (200, None));
            let hold = hold_the_cpu_lane();
            let before = accepted();
            // One guess waits for the lane, and so the next one finds no room; and likewise in a handler.
            let guess = client.clone();
            let guess = lakh::spawn(async move { status(&guess, WRONG).await });
            let log_in = client.clone();
            let log_in =
                lakh::spawn(
                    async move { log_in.post("/log-in").body("correct horse").send().await.text().await },
                );
            while accepted() < before + 2 {
                lakh::core::yield_now().await;
            }
            assert_eq!(status(&client, ALSO_WRONG).await, (503, Some("1".to_owned())));
            let mut answer = client.post("/log-in").body("correct horse").send().await;
            assert_eq!((answer.status().as_u16(), answer.header("retry-after")), (503, Some("1")));
            assert_eq!(answer.text().await, "Service Unavailable");
            assert_eq!(status(&client, RIGHT).await, (200, None), "ann is remembered");

            drop(hold);
            assert_eq!(guess.await.unwrap(), (401, None));
            assert_eq!(log_in.await.unwrap(), "right");
        },
    );
}
