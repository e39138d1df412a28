//! The page: forms to come in by, or the account of who is in. It works without scripts.

pub(crate) enum Message<'a> {
    None,
    /// What has been done.
    Done(&'a str),
    /// What was wrong with what was sent to this path.
    Problem {
        form: &'a str,
        text: &'a str,
    },
}

pub(crate) fn render(name: Option<&str>, message: &Message<'_>) -> String {
    let forms: &[&str] = match name {
        Some(_) => &["/password", "/delete"],
        None => &["/login", "/signup"],
    };
    let (top, at_form) = match *message {
        Message::None => (String::new(), None),
        Message::Done(text) => (format!("<p class=\"done\" role=\"status\">{}</p>", escape(text)), None),
        Message::Problem { form, text } => match problem(text) {
            text if forms.contains(&form) => (String::new(), Some((form, text))),
            text => (text, None), // of a form that is not on this page
        },
    };
    let at = |path| at_form.as_ref().filter(|(form, _)| *form == path).map_or("", |(_, text)| text);
    let body = match name {
        Some(name) => format!(
            include_str!("account.html"),
            name = escape(name),
            message = top,
            password = at("/password"),
            delete = at("/delete"),
        ),
        None => {
            format!(include_str!("entry.html"), message = top, login = at("/login"), signup = at("/signup"))
        }
    };
    let title = match message {
        Message::Problem { .. } => "Error – Accounts",
        Message::None | Message::Done(_) => "Accounts",
    };
    format!(include_str!("page.html"), title = title, body = body)
}

fn problem(text: &str) -> String {
    format!("<p class=\"problem\" role=\"alert\">{}</p>", escape(text))
}

/// Text for an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            _ => escaped.push(c),
        }
    }
    escaped
}
