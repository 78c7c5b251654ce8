//! The timeouts near a limit, as files have them.

use std::time::Duration;

use rcmgr_guard::{GuardFile, NearLimit};

fn read(near_limit: &str) -> Result<Option<NearLimit>, String> {
    let text = format!(
        "[[listen]]\non = '0.0.0.0:5432'\nto = '10.0.0.2:5432'\n\
         timeouts = {{ first-byte = '10s', near-limit = {near_limit} }}\n"
    );
    let file = GuardFile::from_toml(&text).map_err(|errors| errors.to_string())?;
    Ok(file.settings.listeners[0].timeouts.near_limit)
}

#[test]
fn a_file_sets_shorter_timeouts_near_a_limit() {
    let near = |from, first_byte, idle, half_closed| NearLimit {
        from,
        first_byte,
        idle,
        half_closed,
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(
        read("{ from = '75%', idle = '10s', first-byte = '2s', half-closed = '5s' }"),
        Ok(Some(near(75, seconds(2), seconds(10), seconds(5)))),
    );
    let short = read("{ idle = '10s' }");
    assert_eq!(short, Ok(Some(near(90, None, seconds(10), None))));
}

#[test]
fn each_mistake_in_the_timeouts_near_a_limit_says_what_was_meant() {
    let part = "expected a part from \"1%\" to \"100%\", found";
    for (text, expected) in [
        ("'10s'", ": expected a table, found a string".to_owned()),
        (
            "{ from = '90%' }",
            ": no timeout: add one of first-byte, idle, half-closed".into(),
        ),
        (
            "{ idel = '1s', idle = '1s' }",
            ".idel: unknown key; did you mean \"idle\"?".into(),
        ),
        (
            "{ from = 90, idle = '1s' }",
            ".from: expected a string such as \"90%\", found a number".into(),
        ),
        (
            "{ from = '0%', idle = '1s' }",
            format!(".from: {part} \"0%\""),
        ),
        (
            "{ from = '101%', idle = '1s' }",
            format!(".from: {part} \"101%\""),
        ),
        (
            "{ from = '90', idle = '1s' }",
            format!(".from: {part} \"90\""),
        ),
        ("{ idle = '0s' }", ".idle: must not be zero".into()),
        (
            "{ first-byte = '10s' }",
            ".first-byte: not shorter than first-byte = 10s, so it has no effect".into(),
        ),
    ] {
        let expected = format!("line 4: listen.timeouts.near-limit{expected}");
        assert_eq!(read(text), Err(expected), "{text}");
    }
}
