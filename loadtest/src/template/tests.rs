use super::*;
use proptest::prelude::*;
use std::{collections::BTreeSet, io::Write as _};
use tempfile::NamedTempFile;

fn parse(text: &str) -> Result<Template, TemplateError> {
    Template::parse(text, Place::Body, &mut Files::new())
}

fn refused(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

fn rendered(template: &Template, values: &mut Values) -> String {
    let mut out = Vec::new();
    template.render(values, &mut out);
    String::from_utf8(out).unwrap()
}

fn file(text: &[u8]) -> (NamedTempFile, String) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    let name = file.path().to_str().unwrap().to_owned();
    (file, name)
}

#[test]
fn the_number_is_the_same_throughout_a_request() {
    let template = parse("{seq}-{seq}").unwrap();
    let mut values = Values::new(0, 1);
    assert_eq!(rendered(&template, &mut values), "0-0");
    assert_eq!(rendered(&template, &mut values), "0-0");
    values.advance();
    assert_eq!(rendered(&template, &mut values), "1-1");
}

#[test]
fn shards_share_the_numbers_without_asking_each_other() {
    let mut found = BTreeSet::new();
    for shard in 0..3 {
        let mut values = Values::new(shard, 3);
        for _ in 0..100 {
            assert!(found.insert(values.number()));
            values.advance();
        }
    }
    assert_eq!(found, (0..300).collect());
}

#[test]
fn chance_gives_letters_and_digits_that_differ() {
    let template = parse("{rand:16}/{rand:16}").unwrap();
    let text = rendered(&template, &mut Values::new(0, 1));
    let (one, other) = text.split_once('/').unwrap();
    for part in [one, other] {
        assert!(part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
    }
    assert_ne!(one, other);
    let seeded = |shard| rendered(&template, &mut Values::with_seed(shard, 2, 7));
    assert_eq!(seeded(0), seeded(0));
    assert_ne!(seeded(0), seeded(1));
}

#[test]
fn lines_take_turns() {
    let (_file, name) = file(b"one\r\n\ntwo\nthree");
    let template = parse(&format!("<{{line:{name}}}>")).unwrap();
    let mut values = Values::new(0, 1);
    let mut found = Vec::new();
    for _ in 0..4 {
        found.push(rendered(&template, &mut values));
        values.advance();
    }
    assert_eq!(found, ["<one>", "<two>", "<three>", "<one>"]);
}

#[test]
fn a_file_is_read_once() {
    let (file, name) = file(b"one\n");
    let mut files = Files::new();
    let first = files.lines(&name).unwrap();
    file.close().unwrap();
    assert!(Arc::ptr_eq(&first, &files.lines(&name).unwrap()));
    assert!(Files::new().lines(&name).is_err());
}

#[test]
fn braces_of_json_are_text() {
    for text in [r#"{"a":{"b":1}}"#, "{}", "{ seq }", "{1:2}", "a{", "}", "{\n}", "{a b}", "{naïve}"] {
        assert_eq!(parse(text).unwrap().fixed(), Some(text.as_bytes()), "{text}");
    }
    let template = parse(r#"{"id":{seq}}"#).unwrap();
    assert_eq!(rendered(&template, &mut Values::new(7, 8)), r#"{"id":7}"#);
}

#[test]
fn two_braces_are_one() {
    assert_eq!(parse("{{seq}").unwrap().fixed(), Some(&b"{seq}"[..]));
    assert_eq!(parse("{{{seq}").map(|template| rendered(&template, &mut Values::new(3, 4))).unwrap(), "{3");
    assert_eq!(parse("").unwrap().fixed(), Some(&b""[..]));
}

#[test]
fn what_is_unknown_says_what_there_is() {
    for text in ["{sqe}", "{seq:1}", "{rand}", "{line}", "{line:}", "{SEQ}", "/a/{uuid}/b"] {
        let error = refused(text);
        assert!(error.contains("there are {seq}, {rand:16} and {line:FILE}"), "{text}: {error}");
    }
    for text in
        ["{rand:0}", "{rand:x}", "{rand:-1}", "{rand:65537}", "{rand:99999999999999999999}", "{rand:}"]
    {
        assert!(refused(text).contains("needs a number from 1 to 65536"), "{text}");
    }
    for text in ["{seq", "{rand:16", "{line:/tmp/x", "{seq {rand:1}"] {
        let error = refused(text);
        assert!(error.contains("no end") || error.contains("no closing brace"), "{text}: {error}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    assert!(refused("{line:/nowhere/at/all}").starts_with("\"/nowhere/at/all\": No such file"));
    let named = |text: String| refused(&text).lines().next().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    assert!(named(format!("{{line:{}}}", folder.path().display())).ends_with("it is no plain file"));
    let (_empty, name) = file(b"\n\r\n\n");
    assert!(named(format!("{{line:{name}}}")).ends_with("has no lines"));
    let (big, name) = file(b"");
    big.as_file().set_len(Files::MOST + 1).unwrap();
    assert!(named(format!("{{line:{name}}}")).contains("is bigger than the 1.07 GB that there is room for"));
}

#[test]
fn all_files_together_have_a_bound() {
    let ((_first, first), (_second, second)) = (file(b"12345\n"), file(b"12345\n"));
    let mut files = Files::with_room(11);
    assert!(files.lines(&first).is_ok() && files.lines(&first).is_ok());
    let error = files.lines(&second).unwrap_err().to_string();
    assert!(error.contains("is bigger than the 5 B that there is room for"), "{error}");
    assert!(Files::with_room(12).lines(&second).is_ok());
}

#[test]
fn the_place_of_what_is_wrong_is_shown() {
    let shown = |text: &str| refused(text).split_once('\n').unwrap().1.to_owned();
    assert_eq!(shown("{sqe}"), "  {sqe}\n  ^");
    assert_eq!(shown("ä\tb{sqe}c"), "  ä\\tb{sqe}c\n      ^");
    let long = format!("{}{{sqe}}{}", "x".repeat(100), "y".repeat(100));
    let expected = format!("  …{}{{sqe}}{}…\n{}^", "x".repeat(40), "y".repeat(31), " ".repeat(43));
    assert_eq!(shown(&long), expected);
    // What a terminal would obey is not shown.
    assert_eq!(shown("\x1b[2J{seq"), "  \\u{1b}[2J{seq\n           ^");
    let field = Template::parse("a{{b{seq}\rc", Place::Field, &mut Files::new()).unwrap_err().to_string();
    assert_eq!(field, "a character that may not stand there\n  a{{b{seq}\\rc\n           ^");
}

#[test]
fn bytes_that_are_no_text_are_bytes() {
    let template = Template::parse(b"\xff{seq}\x00\xfe", Place::Body, &mut Files::new()).unwrap();
    let mut out = Vec::new();
    template.render(&mut Values::new(0, 1), &mut out);
    assert_eq!(out, b"\xff0\x00\xfe");
    assert!(Template::parse(b"{line:\xff}", Place::Body, &mut Files::new()).is_err());
    assert_eq!(Template::text("{seq}").fixed(), Some(&b"{seq}"[..]));
}

#[test]
fn templates_are_put_together() {
    let all = Template::text("a")
        .then(Template::text("b"))
        .then(parse("{seq}c").unwrap())
        .then(Template::text("d"));
    assert_eq!((all.parts.len(), rendered(&all, &mut Values::new(5, 6))), (3, "ab5cd".to_owned()));
}

#[test]
fn what_may_stand_depends_on_the_place() {
    let (_file, name) = file(b"good\nnot good\n\x01\n");
    let at = |text: &str, place| Template::parse(text, place, &mut Files::new());
    assert!(at("/a b", Place::Target).is_err() && at("/a\r\nb", Place::Field).is_err());
    assert!(at("a b\tä", Place::Field).is_ok() && at("a\r\n\0", Place::Body).is_ok());
    let line = format!("{{line:{name}}}");
    let error = at(&line, Place::Target).unwrap_err().to_string();
    assert!(error.contains("the line \"not good\" has characters that may not stand there"), "{error}");
    let error = at(&line, Place::Field).unwrap_err().to_string();
    assert!(error.contains("\\u{1}"), "{error}");
    assert!(
        at(&line, Place::Body).is_ok()
            && at(&line, Place::Text).is_ok()
            && at("ä{seq}ä", Place::Text).is_ok()
    );
    let (_file, name) = file(b"\xff\n");
    assert!(at(&format!("{{line:{name}}}"), Place::Text).is_err());
    assert!(Template::parse(b"a\xff", Place::Text, &mut Files::new()).is_err());
}

#[test]
fn rendering_into_a_buffer_with_room_allocates_nothing() {
    let (_file, name) = file(b"one\ntwo\n");
    let template = parse(&format!("{{seq}}{{rand:8}}{{line:{name}}}text")).unwrap();
    let mut out = Vec::with_capacity(100);
    let place = out.as_ptr();
    for _ in 0..100 {
        out.clear();
        template.render(&mut Values::new(u64::MAX, 1), &mut out);
    }
    assert_eq!((out.as_ptr(), out.capacity()), (place, 100));
}

proptest! {
    #[test]
    fn nothing_that_is_typed_panics(
        text in ".*",
        likely in "(\\{|\\}|\\{\\{|seq|rand|:|16|[a-z ]|\\{seq\\}|\\{rand:2\\}){0,20}",
    ) {
        for text in [&*text, &*likely] {
            for place in [Place::Target, Place::Field, Place::Body] {
                if let Ok(template) = Template::parse(text, place, &mut Files::new()) {
                    let mut out = Vec::new();
                    template.render(&mut Values::new(1, 2), &mut out);
                    prop_assert_eq!(template.length(1), out.len());
                    if let Some(fixed) = template.fixed() {
                        prop_assert_eq!(fixed, &*out);
                    }
                }
            }
        }
    }

    #[test]
    fn a_length_is_known_beforehand(number: u64) {
        let template = parse("{seq}a{rand:3}{seq}").unwrap();
        let mut values = Values::new(number, 1);
        prop_assert_eq!(template.length(number), rendered(&template, &mut values).len());
    }

    #[test]
    fn text_with_doubled_braces_is_itself(text in "[^{]*(\\{[^{]+){0,5}") {
        let template = parse(&text.replace('{', "{{")).unwrap();
        prop_assert_eq!(template.fixed().unwrap(), text.as_bytes());
    }
}
