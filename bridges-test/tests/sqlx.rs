//! sqlx in handlers, on a PostgreSQL that `DATABASE_URL` names.

#[path = "../../http/tests/common/mod.rs"]
mod common;

use common::{TestServer, eventually, get};
use lakh::{
    http::{
        App, HandlerError, HandlerResult, Server, StatusCode,
        extract::{Json, Path, State},
    },
    tokio::{handle, run, with_context},
};
use serde::{Deserialize, Serialize};
use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

fn url() -> String {
    std::env::var("DATABASE_URL").expect("DATABASE_URL names a PostgreSQL")
}

/// Runs on the helper from outside of any shard.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    handle().unwrap().block_on(future)
}

/// A pool, with a table that has nothing in it.
fn pool(table: &str, connections: u32) -> PgPool {
    block_on(async {
        let options =
            PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(15));
        let pool = options.connect(&url()).await.unwrap();
        for statement in ["DROP TABLE IF EXISTS ", "CREATE TABLE "] {
            let columns = if statement.starts_with("CREATE") {
                " (id BIGSERIAL PRIMARY KEY, name TEXT UNIQUE NOT NULL)"
            } else {
                ""
            };
            let text = format!("{statement}{table}{columns}");
            sqlx::query(sqlx::AssertSqlSafe(text)).execute(&pool).await.unwrap();
        }
        pool
    })
}

#[derive(Serialize, Deserialize, sqlx::FromRow)]
struct User {
    #[serde(default)]
    id: i64,
    name: String,
}

fn conflict(error: sqlx::Error) -> HandlerError {
    match error.as_database_error().is_some_and(|error| error.is_unique_violation()) {
        true => HandlerError::new(StatusCode::CONFLICT, "there is one of this name"),
        false => error.into(),
    }
}

async fn create(State(db): State<PgPool>, Json(user): Json<User>) -> HandlerResult<(StatusCode, Json<User>)> {
    let insert = async move {
        sqlx::query_as("INSERT INTO users (name) VALUES ($1) RETURNING id, name")
            .bind(user.name)
            .fetch_one(&db)
            .await
    };
    let user = run(insert).await?.map_err(conflict)?;
    Ok((StatusCode::CREATED, Json(user)))
}

async fn read(State(db): State<PgPool>, Path(id): Path<i64>) -> HandlerResult<Option<Json<User>>> {
    let select = async move {
        sqlx::query_as("SELECT id, name FROM users WHERE id = $1").bind(id).fetch_optional(&db).await
    };
    Ok(run(select).await??.map(Json))
}

/// Polled at home, where rows go to what is not `Send`.
async fn names(State(db): State<PgPool>) -> HandlerResult<String> {
    let names = Rc::new(RefCell::new(Vec::new()));
    with_context(async {
        let rows =
            sqlx::query_scalar::<_, String>("SELECT name FROM users ORDER BY name").fetch_all(&db).await?;
        rows.into_iter().for_each(|name| names.borrow_mut().push(name));
        Ok::<(), sqlx::Error>(())
    })
    .await??;
    let names = names.borrow().join(",");
    Ok(names)
}

fn post(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
#[ignore = "needs PostgreSQL: .ci/system bridges"]
fn handlers_on_all_shards_share_a_pool_of_connections() {
    let db = pool("users", 3);
    let service = move |_: &lakh::core::Shard| {
        App::with_state(db.clone()).post("/users", create).get("/users/{id}", read).get("/names", names)
    };
    let running =
        Server::new(service).shards(2).bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap().start().unwrap();
    let addr = running.addrs()[0];
    // Each connection may be on another shard.
    for n in 0..20 {
        let mut client = common::Client::connect(addr);
        let created = client.exchange(post(&format!(r#"{{"name":"user {n:02}"}}"#)));
        assert_eq!(created.status, 201, "{}", created.text());
        let user: User = serde_json::from_slice(&created.body).unwrap();
        assert_eq!(client.exchange(get(&format!("/users/{}", user.id))).body, created.body);
    }
    let mut client = common::Client::connect(addr);
    assert_eq!(client.exchange(post(r#"{"name":"user 07"}"#)).status, 409);
    assert_eq!(client.exchange(get("/users/1000000")).status, 404);
    assert_eq!(client.exchange(get("/names")).text().split(',').count(), 20);
}

#[test]
#[ignore = "needs PostgreSQL: .ci/system bridges"]
fn more_queries_than_connections_wait_for_each_other() {
    let db = pool("crowd", 2);
    let server = TestServer::start(move |_| {
        let app = App::with_state(db.clone()).get("/", async |State(db): State<PgPool>| {
            let query = async move {
                sqlx::query_scalar::<_, i32>("SELECT 1 FROM pg_sleep(0.01)").fetch_one(&db).await
            };
            HandlerResult::Ok(run(query).await??.to_string())
        });
        App::new().merge(app)
    });
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    for client in &mut clients {
        assert_eq!(client.answer().text(), "1");
    }
}

#[test]
#[ignore = "needs PostgreSQL: .ci/system bridges"]
fn a_client_that_resets_gives_its_connection_and_its_transaction_back() {
    let db = pool("accounts", 1);
    let kept = db.clone();
    let server = TestServer::start(move |_| {
        let app = App::with_state(db.clone()).get("/", async |State(db): State<PgPool>| {
            let work = async move {
                let mut transaction = db.begin().await?;
                sqlx::query("INSERT INTO accounts (name) VALUES ('half')").execute(&mut *transaction).await?;
                sqlx::query("SELECT pg_sleep(3600)").execute(&mut *transaction).await?;
                transaction.commit().await
            };
            HandlerResult::Ok(run(work).await??)
        });
        App::new().merge(app)
    });
    let watch = block_on(PgPoolOptions::new().max_connections(1).connect(&url())).unwrap();
    let sleeping = || {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(3600)'";
        block_on(sqlx::query_scalar::<_, i64>(query).fetch_one(&watch)).unwrap()
    };
    let mut client = server.connect();
    client.send(get("/"));
    eventually("the transaction sleeps", || sleeping() == 1);
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    server.wait_in_flight(0);
    // Dropped on the helper, the connection is closed or cleaned there: the server ends its query with it.
    let end = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(3600)'";
    block_on(sqlx::query(end).execute(&watch)).unwrap();
    let rows = block_on(sqlx::query_scalar::<_, i64>("SELECT count(*) FROM accounts").fetch_one(&kept));
    assert_eq!(rows.unwrap(), 0, "rolled back, and the one connection is free again");
}

#[test]
#[ignore = "needs PostgreSQL: .ci/system bridges"]
fn notifications_come_home_for_as_long_as_they_are_waited_for() {
    let db = pool("news", 2);
    let said = lakh::block_on(async move {
        let other = db.clone();
        let listen = async move {
            let mut listener = PgListener::connect_with(&db).await?;
            listener.listen("news").await?;
            sqlx::query("SELECT pg_notify('news', 'hello')").execute(&other).await?;
            Ok::<_, sqlx::Error>(listener.recv().await?.payload().to_owned())
        };
        with_context(listen).await.unwrap().unwrap()
    });
    assert_eq!(said.unwrap(), "hello");
}
