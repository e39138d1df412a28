//! The page: forms to come in by, or the account of who is in. It works without scripts.

/// What was wrong with a form that was sent.
pub(crate) struct Problem<'a> {
    /// The path that it was sent to.
    pub(crate) form: &'a str,
    pub(crate) message: &'a str,
}

pub(crate) fn render(name: Option<&str>, problem: Option<&Problem<'_>>) -> String {
    let forms: &[&str] = match name {
        Some(_) => &["/password", "/delete"],
        None => &["/login", "/signup"],
    };
    // Beside the form, or on top, if it is not on this page.
    let problem_of = |form: &str| {
        let here = problem
            .filter(|problem| problem.form == form || (form.is_empty() && !forms.contains(&problem.form)));
        here.map(|problem| format!("<p class=\"problem\" role=\"alert\">{}</p>", escape(problem.message)))
            .unwrap_or_default()
    };
    let body = match name {
        Some(name) => format!(
            include_str!("account.html"),
            name = escape(name),
            problem = problem_of(""),
            password_problem = problem_of("/password"),
            delete_problem = problem_of("/delete"),
        ),
        None => format!(
            include_str!("entry.html"),
            problem = problem_of(""),
            login_problem = problem_of("/login"),
            signup_problem = problem_of("/signup"),
        ),
    };
    let title = if problem.is_some() { "Error – Accounts" } else { "Accounts" };
    format!(include_str!("page.html"), title = title, body = body)
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
