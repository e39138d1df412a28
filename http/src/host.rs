//! Which hosts an app is for.

/// A host by its name, or, as `*.example.com`, all of a domain.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostPattern(Box<str>);

impl HostPattern {
    /// # Errors
    /// What is wrong, for what would never fit a host.
    pub(crate) fn new(pattern: &str) -> Result<Self, &'static str> {
        let name = pattern.strip_prefix("*.").unwrap_or(pattern);
        if without_port(name.as_bytes()) != name.as_bytes() {
            return Err("leave the port and the last dot out");
        }
        if name.is_empty() || name.contains(['*', '/', ' ']) {
            return Err("give it as example.com, or *.example.com for all below it");
        }
        Ok(HostPattern(pattern.to_ascii_lowercase().into()))
    }

    pub(crate) fn is_wild(&self) -> bool {
        self.0.starts_with("*.")
    }

    pub(crate) fn fits(&self, host: &[u8]) -> bool {
        match self.0.strip_prefix('*') {
            // At least one character stands for the star.
            Some(domain) => host
                .len()
                .checked_sub(domain.len())
                .is_some_and(|at| at > 0 && host[at..].eq_ignore_ascii_case(domain.as_bytes())),
            None => host.eq_ignore_ascii_case(self.0.as_bytes()),
        }
    }
}

/// `host`, `host:80`, `[::1]:80`; a name's last dot says nothing.
pub(crate) fn without_port(host: &[u8]) -> &[u8] {
    let name = match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        _ => host,
    };
    name.strip_suffix(b".").unwrap_or(name)
}
