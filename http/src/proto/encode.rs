//! Response heads and chunks, written to the end of a buffer.
//!
//! Field names are written in lower case, as [`HeaderName`] keeps them; they have no case (RFC 9110, 5.1).
use http::{HeaderName, HeaderValue, Method, StatusCode};

/// The `date` field's line, rendered at most once a second (RFC 9110, 6.6.1).
///
/// It reads no clock: the time comes with [`update`](DateCache::update).
///
/// ```
/// let mut date = lakh_http::proto::DateCache::default();
/// date.update(1_704_067_200);
/// assert_eq!(date.as_bytes(), b"Mon, 01 Jan 2024 00:00:00 GMT");
/// ```
#[derive(Clone, Debug)]
pub struct DateCache {
    second: u64,
    line: [u8; DATE_LINE.len()],
}

impl DateCache {
    /// Renders `unix_secs` unless it is the second that is already there. Times after 9999 stay at its end.
    #[inline]
    pub fn update(&mut self, unix_secs: u64) {
        if unix_secs != self.second {
            self.render(unix_secs);
        }
    }

    /// The date alone, as IMF-fixdate (RFC 9110, 5.6.7).
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.line[DATE_START..DATE_START + DATE_LEN]
    }

    fn render(&mut self, unix_secs: u64) {
        self.second = unix_secs;
        let secs = unix_secs.min(LAST_SECOND);
        let (days, time) = (secs / 86_400, secs % 86_400);
        let (year, month, day) = civil(days);
        let date = &mut self.line[DATE_START..];
        date[0..3].copy_from_slice(&WEEKDAYS[(days % 7) as usize]);
        two_digits(&mut date[5..7], day);
        date[8..11].copy_from_slice(&MONTHS[(month - 1) as usize]);
        two_digits(&mut date[12..14], year / 100);
        two_digits(&mut date[14..16], year % 100);
        two_digits(&mut date[17..19], time / 3600);
        two_digits(&mut date[20..22], time / 60 % 60);
        two_digits(&mut date[23..25], time % 60);
    }
}

impl Default for DateCache {
    /// 1 January 1970.
    fn default() -> Self {
        DateCache { second: 0, line: *DATE_LINE }
    }
}

/// The status line with its line end. The version is ours, HTTP/1.1, whatever the client's is (RFC 9110, 6.2).
///
/// Codes without a registered reason have an empty one, which is legal (RFC 9112, 4).
#[inline]
pub fn status_line(status: StatusCode) -> &'static [u8] {
    match status.as_u16() {
        200 => b"HTTP/1.1 200 OK\r\n",
        304 => b"HTTP/1.1 304 Not Modified\r\n",
        404 => b"HTTP/1.1 404 Not Found\r\n",
        code => rarer_status_line(code),
    }
}

/// Appends the status line.
#[inline]
pub fn write_status(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        // A constant length: no call of memcpy.
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        out.extend_from_slice(status_line(status));
    }
}

/// Appends one header line. Neither type can hold a line end (RFC 9112, 5).
#[inline]
pub fn write_header(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a `content-length` line. Mind [`content_length_allowed`].
#[inline]
pub fn write_content_length(out: &mut Vec<u8>, len: u64) {
    const NAME: &[u8; 16] = b"content-length: ";
    const DIGITS: usize = 20;
    // Put together from its end, and appended at once.
    let mut line = [0; NAME.len() + DIGITS + 2];
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    let mut rest = len;
    loop {
        at -= 1;
        line[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    at -= NAME.len();
    line[at..at + NAME.len()].copy_from_slice(NAME);
    out.extend_from_slice(&line[at..]);
}

/// Appends the `date` line.
#[inline]
pub fn write_date(out: &mut Vec<u8>, date: &DateCache) {
    out.extend_from_slice(&date.line);
}

/// Appends the blank line that ends a head.
#[inline]
pub fn write_head_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends the size line of a chunk (RFC 9112, 7.1); its `len` bytes and [`write_chunk_end`] follow.
///
/// Leave out empty chunks: size 0 is what ends a body.
#[inline]
pub fn write_chunk_start(out: &mut Vec<u8>, len: usize) {
    debug_assert_ne!(len, 0, "a chunk of size 0 ends the body");
    let mut line = [0; 18];
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    let mut rest = len;
    loop {
        at -= 1;
        line[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&line[at..]);
}

/// Appends the line end after a chunk's data.
#[inline]
pub fn write_chunk_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends a whole chunk, or nothing for no data.
#[inline]
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if !data.is_empty() {
        out.reserve(data.len() + 20);
        write_chunk_start(out, data.len());
        out.extend_from_slice(data);
        write_chunk_end(out);
    }
}

/// Appends the last chunk, without trailers.
#[inline]
pub fn write_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Whether an answer with this status to this method has content (RFC 9110, 6.4.1).
///
/// Not to HEAD, not to a CONNECT that succeeded, not with 1xx, 204, 205 and 304.
#[inline]
pub fn body_allowed(status: StatusCode, method: &Method) -> bool {
    let code = status.as_u16();
    !(code < 200
        || matches!(code, 204 | 205 | 304)
        || *method == Method::HEAD
        || (*method == Method::CONNECT && status.is_success()))
}

/// Whether an answer with this status to this method may carry Content-Length (RFC 9110, 8.6).
///
/// Answers to HEAD and 304 may, with the length that GET's 200 would have; 205 may, with 0.
#[inline]
pub fn content_length_allowed(status: StatusCode, method: &Method) -> bool {
    let code = status.as_u16();
    !(code < 200 || code == 204 || (*method == Method::CONNECT && status.is_success()))
}

macro_rules! status_lines {
    ($code:expr, $($known:literal $reason:literal)*) => {
        match $code {
            $($known => concat!("HTTP/1.1 ", $known, " ", $reason, "\r\n").as_bytes(),)*
            code => bare_status_line(code),
        }
    };
}

/// The registered codes (IANA, HTTP Status Code Registry).
fn rarer_status_line(code: u16) -> &'static [u8] {
    status_lines! { code,
        100 "Continue" 101 "Switching Protocols" 102 "Processing" 103 "Early Hints"
        200 "OK" 201 "Created" 202 "Accepted" 203 "Non-Authoritative Information" 204 "No Content"
        205 "Reset Content" 206 "Partial Content" 207 "Multi-Status" 208 "Already Reported" 226 "IM Used"
        300 "Multiple Choices" 301 "Moved Permanently" 302 "Found" 303 "See Other" 304 "Not Modified"
        305 "Use Proxy" 307 "Temporary Redirect" 308 "Permanent Redirect"
        400 "Bad Request" 401 "Unauthorized" 402 "Payment Required" 403 "Forbidden" 404 "Not Found"
        405 "Method Not Allowed" 406 "Not Acceptable" 407 "Proxy Authentication Required"
        408 "Request Timeout" 409 "Conflict" 410 "Gone" 411 "Length Required" 412 "Precondition Failed"
        413 "Content Too Large" 414 "URI Too Long" 415 "Unsupported Media Type" 416 "Range Not Satisfiable"
        417 "Expectation Failed" 418 "I'm a teapot" 421 "Misdirected Request" 422 "Unprocessable Content"
        423 "Locked" 424 "Failed Dependency" 425 "Too Early" 426 "Upgrade Required" 428 "Precondition Required"
        429 "Too Many Requests" 431 "Request Header Fields Too Large" 451 "Unavailable For Legal Reasons"
        500 "Internal Server Error" 501 "Not Implemented" 502 "Bad Gateway" 503 "Service Unavailable"
        504 "Gateway Timeout" 505 "HTTP Version Not Supported" 506 "Variant Also Negotiates"
        507 "Insufficient Storage" 508 "Loop Detected" 510 "Not Extended"
        511 "Network Authentication Required"
    }
}

/// The line of a code nobody has registered, from a table of all of them.
#[cold]
fn bare_status_line(code: u16) -> &'static [u8] {
    static LINES: [[u8; 15]; 900] = bare_status_lines();
    match LINES.get(usize::from(code).wrapping_sub(100)) {
        Some(line) => line,
        None => b"HTTP/1.1 500 \r\n", // never: a StatusCode is between 100 and 999
    }
}

const fn bare_status_lines() -> [[u8; 15]; 900] {
    let mut lines = [*b"HTTP/1.1 000 \r\n"; 900];
    let mut i = 0;
    while i < lines.len() {
        let code = i + 100;
        lines[i][9] = b'0' + (code / 100) as u8;
        lines[i][10] = b'0' + (code / 10 % 10) as u8;
        lines[i][11] = b'0' + (code % 10) as u8;
        i += 1;
    }
    lines
}

/// Year, month and day of a day counted from 1 January 1970.
///
/// Counts in eras of 400 years that begin on 1 March, so that the leap day is the last of a year.
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let days = days + 719_468; // from 1 March 0000
    let (era, day_of_era) = (days / ERA, days % ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn two_digits(out: &mut [u8], value: u64) {
    out[0] = b'0' + (value / 10) as u8;
    out[1] = b'0' + (value % 10) as u8;
}

const DATE_LINE: &[u8; 37] = b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
const DATE_START: usize = b"date: ".len();
const DATE_LEN: usize = b"Thu, 01 Jan 1970 00:00:00 GMT".len();

/// 31 December 9999, 23:59:59: the last that has four digits for its year.
const LAST_SECOND: u64 = 253_402_300_799;

/// 1 January 1970 was a Thursday.
const WEEKDAYS: [[u8; 3]; 7] = [*b"Thu", *b"Fri", *b"Sat", *b"Sun", *b"Mon", *b"Tue", *b"Wed"];
const MONTHS: [[u8; 3]; 12] = [
    *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct", *b"Nov",
    *b"Dec",
];
