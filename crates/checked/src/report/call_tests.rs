use super::*;

/// Reads the call at the mark `@` of `text`.
fn at_mark(text: &str) -> Call {
    let before = text.split('@').next().expect("split returns one part at least");
    let line = before.matches('\n').count() as u32 + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() as u32 + 1;
    Call::read(&text.replace('@', ""), line, column).expect("there is a call")
}

fn receiver(text: &str) -> Option<String> {
    at_mark(text).receiver
}

#[test]
fn receivers_are_variables_fields_and_methods() {
    for (text, name) in [
        ("    side.@reads(&x);", "side"),
        ("self.side.@writes(&x.part(0..4));", "self.side"),
        ("self.streams[i].@reads(&x);", "self.streams[i]"),
        ("if ready { self.side().@reads(&x) }", "self.side()"),
        ("self\n    .side // not this\n    .@reads(&x);", "self.side"),
        ("@Stream::reads(&side, &x);", "side"),
        ("@<S as Stream>::reads(side, &x);", "side"),
        ("@Stream::reads::<u8>(&mut side, &x);", "side"),
        ("größe.@reads(&x);", "größe"),
        ("let _ = &Self::side().@reads(&x);", "Self::side()"),
    ] {
        assert_eq!(receiver(text).as_deref(), Some(name), "{text}");
    }
}

#[test]
fn other_receivers_have_no_name() {
    for text in [
        "(*side).@reads(&x);",
        "streams[i + 1].@reads(&x);",
        "make()?.@reads(&x);",
        "side.await.@reads(&x);",
        "@reads(&x);",
        "@check!(side, x);",
        "0.@reads()",
        "..@reads()",
        "a_name_that_is_longer_than_forty_characters.@reads(&x);",
    ] {
        assert_eq!(receiver(text), None, "{text}");
    }
}

#[test]
fn a_call_has_a_method_arguments_and_a_binding() {
    let call = at_mark("let mut side: S = @Host::new_stream(\n  device, f(\"),\", [1, 2]))?;");
    assert_eq!((call.method.as_str(), call.binding.as_deref()), ("new_stream", Some("side")));
    assert_eq!(call.receiver.as_deref(), Some("device"));
    assert_eq!(call.arguments, ["f(\"),\", [1, 2])"]);
    let call = at_mark("{ ours.@wait_stream(&theirs)?;");
    assert_eq!(
        (call.method.as_str(), &call.arguments[..]),
        ("wait_stream", &["theirs".into()][..])
    );
    assert_eq!(at_mark("let done = make(@B::new_stream(device)?);").binding, None);
    assert_eq!(at_mark("let done = @B::new_stream(device)?.id();").binding, None);
}

#[test]
fn fields_that_get_the_result_are_its_binding() {
    for (text, name) in [
        ("Ok(Library { side: caller.@new_stream(options)? })", "side"),
        (
            "Library {\n  device: f(1, 2),\n  side: // ours\n    caller\n    .@new_stream(a)?,\n}",
            "side",
        ),
        ("Self { caller, side: @B::new_stream(device, options).unwrap() }", "side"),
        ("Self { side: @new().expect(\"a stream\"), other }", "side"),
        ("self.side = caller.@new_stream(options)?;", "self.side"),
        ("{ side = @new(); }", "side"),
    ] {
        assert_eq!(at_mark(text).binding.as_deref(), Some(name), "{text}");
    }
    for text in [
        "Self { side: caller.@new_stream(options)?.id() }",
        "Self { side: Some(caller.@new_stream(options)?) }",
        "let side: caller::@new_stream(options)",
        "match x { A => caller.@new_stream(options)?, }",
        "if side == caller.@new_stream(options)?;",
        "a += @new_stream(options);",
        ": @new(a),",
        "= @new(a);",
        "@new(a);",
    ] {
        assert_eq!(at_mark(text).binding, None, "{text}");
    }
}

#[test]
fn columns_count_from_the_receiver_to_the_end_of_the_call() {
    let call = at_mark("\t日本.@reads(&x)?; // note");
    assert_eq!(
        (call.line.as_str(), call.start, call.width),
        ("    日本.reads(&x)?; // note", 4, 14)
    );
    let call = at_mark("side\n  .@reads(\n    &x)");
    assert_eq!((call.line.as_str(), call.start, call.width), ("  .reads(", 3, 6));
    let long = format!("{}side.@reads(&x);{}", "a + ".repeat(100), " b".repeat(100));
    let call = at_mark(&long);
    assert!(call.line.starts_with('…') && call.line.ends_with('…'), "{}", call.line);
    assert!(call.line.chars().skip(call.start).collect::<String>().starts_with("side.reads(&x)"));
}

#[test]
fn places_outside_of_the_text_are_no_calls() {
    for (line, column) in [(0, 0), (0, 1), (1, 0), (1, 5), (2, 1), (u32::MAX, u32::MAX)] {
        assert!(Call::read("a.b()", line, column).is_none() || (line, column) == (1, 5));
        assert!(Call::read("", line, column).is_none());
    }
}

#[test]
fn names_of_the_function_around_a_line_are_found() {
    let text = "fn one(left: u8) {\n  left\n}\n/// fn not()\npub(crate) unsafe fn two(right: u8) {\n  self.field.b(right)\n}";
    assert!(has_name(text, 2, "left") && !has_name(text, 2, "right"));
    assert!(
        has_name(text, 6, "right")
            && !has_name(text, 6, "left")
            && !has_name(text, 5, "self.field")
    );
    assert!(
        has_name(text, 6, "self.field")
            && !has_name(text, 6, "field")
            && !has_name(text, 6, "self.f")
    );
    assert!(!has_name(text, 0, "left") && has_name(text, u32::MAX, "right"));
}
