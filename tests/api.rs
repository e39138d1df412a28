//! The example `api`: its service in this process, its program as its users run it.

#[allow(dead_code)] // its `main` is not run here
#[path = "../examples/api.rs"]
mod api;

use api::{Shelf, app};
use lakh::http::testing::{self, TestClient};
use serde_json::{Value, json};

/// Puts so many books on the shelf.
async fn add(client: &TestClient, count: usize) {
    for n in 1..=count {
        let book = json!({ "title": format!("Volume {n}"), "year": 1800 });
        assert_eq!(client.post("/books").json(&book).send().await.status(), 201);
    }
}

#[test]
fn a_book_is_created_shown_replaced_and_removed() {
    testing::run(
        |_| app(Shelf::default()),
        async |client| {
            let mut created =
                client.post("/books").json(&json!({ "title": "Emma", "year": 1815 })).send().await;
            assert_eq!((created.status().as_u16(), created.header("location")), (201, Some("/books/1")));
            let emma = json!({ "id": 1, "title": "Emma", "year": 1815 });
            assert_eq!(created.json::<Value>().await, emma);
            assert_eq!(client.get("/books/1").send().await.json::<Value>().await, emma);
            let mut replaced = client.put("/books/1").json(&json!({ "title": "Emma!" })).send().await;
            assert_eq!(replaced.json::<Value>().await, json!({ "id": 1, "title": "Emma!", "year": null }));
            assert_eq!(client.delete("/books/1").send().await.status(), 204);
            assert_eq!(client.get("/books/1").send().await.status(), 404);
            assert_eq!(client.delete("/books/1").send().await.status(), 404);
        },
    );
}

#[test]
fn pages_lead_from_one_to_the_next() {
    testing::run(
        |_| app(Shelf::default()),
        async |client| {
            add(&client, 5).await;
            let mut next = Some("/books?limit=2".to_owned());
            let mut pages: Vec<Value> = Vec::new();
            while let Some(path) = next {
                let page: Value = client.get(&path).send().await.json().await;
                pages.push(page["books"].as_array().unwrap().iter().map(|book| book["id"].clone()).collect());
                next = page["next"].as_str().map(str::to_owned);
            }
            assert_eq!(pages, [json!([1, 2]), json!([3, 4]), json!([5])]);
        },
    );
}

#[test]
fn a_page_has_its_bounds() {
    testing::run(
        |_| app(Shelf::default()),
        async |client| {
            add(&client, 120).await;
            for (limit, count) in [("0", 1), ("1000", 100)] {
                let page: Value = client.get("/books").query("limit", limit).send().await.json().await;
                assert_eq!(page["books"].as_array().unwrap().len(), count);
            }
            let page: Value = client.get("/books").send().await.json().await;
            assert_eq!(page["books"].as_array().unwrap().len(), 20);
        },
    );
}

#[test]
fn all_errors_are_json_with_a_status_and_words() {
    testing::run(
        |_| app(Shelf::default()),
        async |client| {
            let requests = [
                (client.get("/books/7"), 404, "there is no book 7"),
                (client.get("/books/x"), 404, "is not a number"),
                (client.get("/nowhere"), 404, "Not Found"),
                (client.patch("/books"), 405, "Method Not Allowed"),
                (client.get("/books").query("limit", "many"), 400, "limit"),
                (client.post("/books").text("Emma"), 415, "application/json"),
                (client.post("/books").json(&json!({ "title": 1 })), 422, "title"),
                (client.post("/books").json(&json!({ "title": " " })), 422, "a book has a title"),
                (client.post("/books").json(&json!({ "title": "x", "pages": 1 })), 422, "pages"),
                (client.post("/books").json(&"x".repeat(20_000)), 413, "Payload Too Large"),
            ];
            for (request, status, words) in requests {
                let said = format!("{request:?}");
                let mut response = request.send().await;
                assert_eq!(response.status(), status, "{said}");
                let problem: Value = response.json().await;
                assert_eq!(problem["status"], status, "{said}");
                assert!(problem["error"].as_str().unwrap().contains(words), "{said}: {problem}");
            }
        },
    );
}

#[test]
fn the_export_is_streamed_a_page_at_a_time() {
    testing::run(
        |_| app(Shelf::default()),
        async |client| {
            add(&client, 150).await;
            let mut response = client.get("/books.ndjson").send().await;
            assert_eq!(response.header("content-type"), Some("application/x-ndjson"));
            let first = response.chunk().await.unwrap();
            assert_eq!(first.iter().filter(|byte| **byte == b'\n').count(), 100);
            // What comes meanwhile is in it.
            add(&client, 1).await;
            let rest = response.text().await;
            let ids: Vec<Value> =
                rest.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
            assert_eq!((ids.len(), &ids[0], &ids[50]), (51, &json!(101), &json!(151)));
        },
    );
}

#[test]
fn every_answer_tells_its_time() {
    testing::run(
        |_| app(Shelf::default()),
        async |client| {
            for path in ["/books", "/nowhere"] {
                let response = client.get(path).send().await;
                assert!(response.header("server-timing").unwrap().starts_with("app;dur="), "{path}");
            }
        },
    );
}

#[cfg(unix)]
mod program;

#[cfg(unix)]
#[test]
fn the_program_serves_one_shelf_on_all_shards_until_it_is_told_to_end() {
    let mut program = program::Program::start("api");
    let body = r#"{"title":"Emma"}"#;
    let length = body.len();
    let post = format!(
        "POST /books HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    assert!(program.ask(&post).starts_with("HTTP/1.1 201 "));
    for _ in 0..8 {
        let answer = program.ask("GET /books/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert!(answer.contains(r#""title":"Emma""#), "{answer}");
    }
    assert!(program.end().success());
}
