//! What contracts/convoy.md §4.4 says, line by line.

use super::*;
use crate::filter::{
    CONDITIONS_MAX, LEVELS_MAX, PATH_BYTES_MAX, PATH_SEGMENTS_MAX, REGEXES_MAX, TEXT_BYTES_MAX, VALUES_MAX,
};

fn check(rows: &[(&str, &str, bool)]) {
    for (filter, payload, expected) in rows {
        assert_eq!(evaluate(filter, payload), Ok(*expected), "{filter} on {payload}");
    }
}

#[test]
fn nested_objects_and_dotted_keys_are_the_same() {
    let payload = r#"{"person":{"age":20}}"#;
    check(&[
        (r#"{"person":{"age":{"$gte":18}}}"#, payload, true),
        (r#"{"person.age":{"$gte":18}}"#, payload, true),
        (r#"{"person.age":20}"#, r#"{"person.age":20}"#, true),
        (r#"{"a":{"b":{"c":1}}}"#, r#"{"a.b":{"c":1}}"#, true),
        (r#"{"a.b":2}"#, r#"{"a":{"b":1},"a.b":2}"#, true),
        (r#"{"a.b":1}"#, r#"{"a":{"b":1},"a":{"c":1}}"#, false),
    ]);
}

#[test]
fn a_value_equals_or_is_in_the_list() {
    check(&[
        (r#"{"a":5}"#, r#"{"a":5}"#, true),
        (r#"{"a":5}"#, r#"{"a":"5"}"#, true),
        (r#"{"a":"1e3"}"#, r#"{"a":1000}"#, true),
        (r#"{"a":"x"}"#, r#"{"a":"y"}"#, false),
        (r#"{"a":true}"#, r#"{"a":1}"#, false),
        (r#"{"a":null}"#, r#"{"a":null}"#, true),
        (r#"{"a":{}}"#, r#"{"a":{}}"#, true),
        (r#"{"tags":"b"}"#, r#"{"tags":["a","b"]}"#, true),
        (r#"{"tags":5}"#, r#"{"tags":["5"]}"#, false),
        (r#"{"tags":["a","b"]}"#, r#"{"tags":["a","b"]}"#, true),
        (r#"{"tags":["b","a"]}"#, r#"{"tags":["a","b"]}"#, false),
        (r#"{"id":9007199254740993}"#, r#"{"id":9007199254740992}"#, false),
        (r#"{"id":"9007199254740993"}"#, r#"{"id":9007199254740993}"#, true),
    ]);
}

#[test]
fn equality_and_its_negation() {
    check(&[
        (r#"{"a":{"$eq":"x"}}"#, r#"{"a":"x"}"#, true),
        (r#"{"a":{"$eq":["x"]}}"#, r#"{"a":["x"]}"#, true),
        (r#"{"a":{"$eq":"x"}}"#, r#"{"a":["x"]}"#, false),
        (r#"{"a":{"$neq":"x"}}"#, r#"{"a":"y"}"#, true),
        (r#"{"a":{"$neq":"x"}}"#, r#"{"a":"x"}"#, false),
    ]);
}

#[test]
fn comparisons_are_numeric() {
    check(&[
        (r#"{"a":{"$gt":1}}"#, r#"{"a":2}"#, true),
        (r#"{"a":{"$gt":1}}"#, r#"{"a":1}"#, false),
        (r#"{"a":{"$gt":1}}"#, r#"{"a":"1.5"}"#, true),
        (r#"{"a":{"$gte":1}}"#, r#"{"a":1}"#, true),
        (r#"{"a":{"$gte":1}}"#, r#"{"a":"x"}"#, false),
        (r#"{"a":{"$gte":"x"}}"#, r#"{"a":1}"#, false),
        (r#"{"a":{"$lt":1}}"#, r#"{"a":0.5}"#, true),
        (r#"{"a":{"$lt":1}}"#, r#"{"a":"x"}"#, true),
        (r#"{"a":{"$lt":1}}"#, r#"{"a":[1]}"#, true),
        (r#"{"a":{"$lte":1}}"#, r#"{"a":1}"#, true),
        (r#"{"a":{"$lte":1}}"#, r#"{"a":1.01}"#, false),
        (r#"{"a":{"$gte":1,"$lt":9}}"#, r#"{"a":8}"#, true),
        (r#"{"a":{"$gte":1,"$lt":9}}"#, r#"{"a":9}"#, false),
    ]);
    for filter in [r#"{"a":{"$gt":1}}"#, r#"{"a":{"$lte":1}}"#] {
        for payload in [r#"{"a":"x"}"#, r#"{"a":true}"#, r#"{"a":null}"#, r#"{"a":[1]}"#, r#"{"a":{}}"#] {
            assert!(evaluate(filter, payload).is_err(), "{filter} on {payload}");
        }
    }
}

#[test]
fn membership() {
    check(&[
        (r#"{"a":{"$in":["NGN","USD"]}}"#, r#"{"a":"USD"}"#, true),
        (r#"{"a":{"$in":["NGN","USD"]}}"#, r#"{"a":"EUR"}"#, false),
        (r#"{"a":{"$nin":["NGN","USD"]}}"#, r#"{"a":"EUR"}"#, true),
        (r#"{"a":{"$in":[2,1,"x",null,true]}}"#, r#"{"a":null}"#, true),
        (r#"{"a":{"$in":[5]}}"#, r#"{"a":"5"}"#, false),
        (r#"{"a":{"$in":"x"}}"#, r#"{"a":["y","x"]}"#, true),
        (r#"{"a":{"$nin":"x"}}"#, r#"{"a":["y","x"]}"#, false),
        (r#"{"a":{"$in":["x"]}}"#, r#"{"a":["y","x"]}"#, false),
        (r#"{"a":{"$in":[]}}"#, r#"{"a":1}"#, false),
    ]);
}

#[test]
fn regular_expressions() {
    check(&[
        (r#"{"a":{"$regex":"^AB-\\d+"}}"#, r#"{"a":"AB-12x"}"#, true),
        (r#"{"a":{"$regex":"b"}}"#, r#"{"a":"abc"}"#, true),
        (r#"{"a":{"$regex":"^b"}}"#, r#"{"a":"abc"}"#, false),
    ]);
    for payload in [r#"{"a":1}"#, r#"{"a":["b"]}"#, r#"{"a":null}"#] {
        let error = evaluate(r#"{"a":{"$regex":"b"}}"#, payload).expect_err("no text");
        assert_eq!(error.to_string(), "a: $regex needs a text in the payload");
    }
}

#[test]
fn any_and_all() {
    check(&[
        (r#"{"$or":[{"user.country":"NG"},{"user.vip":true}]}"#, r#"{"user":{"country":"KE","vip":true}}"#, true),
        (r#"{"$or":[{"user.country":"NG"},{"user.vip":true}]}"#, r#"{"user":{"country":"KE","vip":false}}"#, false),
        (r#"{"$and":[{"a":1},{"b":2}]}"#, r#"{"a":1,"b":2}"#, true),
        (r#"{"$and":[{"a":1},{"b":2}]}"#, r#"{"a":1,"b":3}"#, false),
        (r#"{"$or":[{"$and":[{"a":1},{"b":2}]},{"c":3}]}"#, r#"{"a":1,"b":2,"c":0}"#, true),
        (r#"{"x":1,"$or":[{"a":1},{"b":1}]}"#, r#"{"x":2,"a":1}"#, false),
        (r#"{"$or":[]}"#, r#"{"a":1}"#, false),
        (r#"{"$and":[]}"#, r#"{"a":1}"#, true),
    ]);
}

#[test]
fn wildcards_stand_for_any_position() {
    let payload = r#"{"items":[{"sku":"XY-1","parts":[{"n":1},{"n":2}]},{"sku":"AB-2","parts":[{"n":3}]}]}"#;
    check(&[
        (r#"{"items.$.sku":{"$regex":"^AB-"}}"#, payload, true),
        (r#"{"items.0.sku":{"$regex":"^AB-"}}"#, payload, false),
        (r#"{"items.1.sku":{"$regex":"^AB-"}}"#, payload, true),
        (r#"{"items.01.sku":{"$regex":"^AB-"}}"#, payload, false),
        (r#"{"items.$.parts.$.n":3}"#, payload, true),
        (r#"{"items.$.parts.$.n":4}"#, payload, false),
        (r#"{"items":{"$":{"sku":"AB-2"}}}"#, payload, true),
        (r#"{"items":[{"sku":"XY-1"}]}"#, payload, true),
        // No hit is false, not skipped.
        (r#"{"items.$.price":1,"items.0.sku":"XY-1"}"#, payload, false),
        (r#"{"$.a":2}"#, r#"[{"a":1},{"a":2}]"#, true),
        (r#"{"1.a":2}"#, r#"[{"a":1},{"a":2}]"#, true),
        // One element that cannot be compared does not hide one that can.
        (r#"{"$.a":{"$gt":1}}"#, r#"[{"a":"x"},{"a":2}]"#, true),
    ]);
    assert!(evaluate(r#"{"$.a":{"$gt":1}}"#, r#"[{"a":"x"},{"a":0}]"#).is_err());
}

#[test]
fn arrays_that_are_no_lists() {
    check(&[
        // Inside mixed arrays only objects survive, and an object with keys is no value.
        (r#"{"a":1}"#, r#"{"a":[1,"x"]}"#, false),
        (r#"{"a.1.b":1}"#, r#"{"a":[1,{"b":1}]}"#, true),
        (r#"{"a":{"$exist":true}}"#, r#"{"a":[[1]]}"#, false),
        (r#"{"a":{"$exist":true}}"#, r#"{"a":{"b":1}}"#, false),
        (r#"{"a":{"$exist":true}}"#, r#"{"a":[]}"#, true),
        (r#"{"a":{"$exist":true}}"#, r#"{"a":null}"#, true),
        (r#"{"a.0":{}}"#, r#"{"a":[{}]}"#, true),
        (r#"{"a.0":1}"#, r#"{"a":[1]}"#, false),
    ]);
}

#[test]
fn missing_keys_are_skipped() {
    check(&[
        (r#"{"a":1,"b":2}"#, r#"{"a":1}"#, true),
        (r#"{"a":1,"b":2}"#, r#"{"a":2}"#, false),
        (r#"{"a":1,"b":2}"#, r#"{"c":1}"#, false),
        (r#"{"x":{"$exist":false}}"#, r#"{"a":1}"#, false),
        (r#"{"a":1,"x":{"$exist":false}}"#, r#"{"a":1}"#, true),
        (r#"{"a":1,"x":{"$exist":false}}"#, r#"{"a":1,"x":2}"#, false),
        (r#"{"a":1,"x":{"$exist":true}}"#, r#"{"a":1}"#, true),
        (r#"{"$or":[{"x":1},{"a":1,"y":2}]}"#, r#"{"a":1}"#, true),
        (r#"{"a":1,"$or":[{"x":1}]}"#, r#"{"a":1}"#, false),
        ("{}", r#"{"a":1}"#, true),
        ("{}", "null", true),
        (r#"{"a":1}"#, "5", false),
        (r#"{"a":1}"#, "not JSON", false),
    ]);
}

#[test]
fn what_decides_wins_over_what_cannot_be_evaluated() {
    let payload = r#"{"a":"x","b":1}"#;
    check(&[
        (r#"{"a":{"$gt":1},"b":2}"#, payload, false),
        (r#"{"b":2,"a":{"$gt":1}}"#, payload, false),
        (r#"{"$or":[{"a":{"$gt":1}},{"b":1}]}"#, payload, true),
    ]);
    assert!(evaluate(r#"{"a":{"$gt":1},"b":1}"#, payload).is_err());
    assert!(evaluate(r#"{"$or":[{"a":{"$gt":1}},{"b":2}]}"#, payload).is_err());
}

#[test]
fn payloads_that_other_parsers_refuse() {
    let deep = format!(r#"{{"n":1e999,"s":"a\ud800","d":{}{},"k":1}}"#, "[".repeat(50_000), "]".repeat(50_000));
    check(&[
        (r#"{"k":1}"#, &deep, true),
        (r#"{"n":{"$gt":18446744073709551615}}"#, &deep, true),
        (r#"{"s":"a\ufffd"}"#, &deep, true),
        (r#"{"d":1}"#, &deep, false),
    ]);
}

#[test]
fn bad_filters_say_where_and_what_instead() {
    for (filter, text) in [
        (
            r#"{"a":{"b":{"$like":1}}}"#,
            "a.b: $like starts with a $ and is not a valid operator: use one of $eq, $neq, $gt, $gte, $lt, $lte, \
             $in, $nin, $regex, $exist, $or, $and",
        ),
        (r#"{"$or":{"a":1}}"#, "$or: the value of $or and $and must be an array of filters"),
        (r#"{"$or":[{"a":1},2]}"#, "$or[1]: a filter must be a JSON object, such as {\"amount\":{\"$gte\":1000}}"),
        ("[1]", "a filter must be a JSON object, such as {\"amount\":{\"$gte\":1000}}"),
        (
            r#"{"a.$.b.$.c.$.d.$.e":1}"#,
            "a.$.b.$.c.$.d.$.e: too many segments, expected at most 3 but got 4: use fewer $ in one key",
        ),
        (r#"{"a.$":1}"#, "a.$: invalid filter syntax, found trailing $: name the field of the elements after it"),
        (r#"{"$gt":1}"#, "$gt must stand under a key, such as {\"amount\":{\"$gt\":…}}"),
        (r#"{"a":{"$gt":"x"}}"#, "a: $gt needs a number"),
        (r#"{"a":{"$exist":1}}"#, "a: $exist needs true or false"),
    ] {
        assert_eq!(compile(filter).expect_err(filter).to_string(), text);
    }
    assert_eq!(fault(r#"{"a":{"$gt":1,"b":2}}"#), Fault::Mixed("b".to_owned()));
    assert_eq!(fault(r#"{"a":{"$or":[{"b":1}]}}"#), Fault::LogicUnderKey("$or".to_owned()));
    assert_eq!(fault(r#"{"a":[1,"x"]}"#), Fault::NestedArray);
    assert_eq!(fault(r#"{"a":[[1]]}"#), Fault::NestedArray);
    assert!(matches!(fault(r#"{"a":{"$eq":{"b":1}}}"#), Fault::Operand { operator: "$eq", .. }));
    assert!(matches!(fault(r#"{"a":{"$in":{"b":1}}}"#), Fault::Operand { operator: "$in", .. }));
    // Whatever is accepted is stored: nothing of any depth may hide in an operand.
    for operator in ["$eq", "$neq", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exist", "$regex"] {
        let filter = format!(r#"{{"a":{{"{operator}":[[1]]}}}}"#);
        assert!(matches!(fault(&filter), Fault::Operand { .. }), "{filter}");
    }
    assert!(matches!(fault(r#"{"a":{"$regex":"(?=x)"}}"#), Fault::Regex(_)));
}

#[test]
fn every_bound_holds() {
    let many =
        |count: usize, each: fn(usize) -> String| format!("{{{}}}", (0..count).map(each).collect::<Vec<_>>().join(","));
    let conditions = |count| many(count, |n| format!(r#""k{n}":1"#));
    let regexes = |count| many(count, |n| format!(r#""k{n}":{{"$regex":"a"}}"#));
    let values = |count: usize| format!(r#"{{"a":{{"$in":[{}1]}}}}"#, "1,".repeat(count - 1));
    let levels = |count: usize| format!("{}1{}", r#"{"a":"#.repeat(count), "}".repeat(count));
    let parts = |count: usize| format!(r#"{}{{"a":1}}{}"#, r#"{"$or":["#.repeat(count), "]}".repeat(count));
    let text = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 1));
    let dotted = |segments: usize| format!(r#"{{"{}a":1}}"#, "a.".repeat(segments - 1));
    let key = |bytes: usize| format!(r#"{{"a":{{"{}":1}}}}"#, "k".repeat(bytes - 2));
    for (fits, beyond, expected) in [
        (conditions(CONDITIONS_MAX), conditions(CONDITIONS_MAX + 1), Fault::TooManyConditions),
        (regexes(REGEXES_MAX), regexes(REGEXES_MAX + 1), Fault::TooManyRegexes),
        (values(VALUES_MAX), values(VALUES_MAX + 1), Fault::TooManyValues),
        (levels(LEVELS_MAX), levels(LEVELS_MAX + 1), Fault::TooDeep),
        (parts(LEVELS_MAX / 2 - 1), parts(LEVELS_MAX), Fault::TooDeep),
        (dotted(PATH_SEGMENTS_MAX), dotted(PATH_SEGMENTS_MAX + 1), Fault::KeyTooDeep),
        (text(TEXT_BYTES_MAX), text(TEXT_BYTES_MAX + 1), Fault::TooMuchText),
        (key(PATH_BYTES_MAX), key(PATH_BYTES_MAX + 1), Fault::KeyTooLong),
    ] {
        compile(&fits).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(fault(&beyond), expected);
    }
}

#[test]
fn headers_query_and_path() {
    let headers = Document::headers([("x-github-event", "push"), ("X-GitHub-Event", "pull"), ("a.b", "c")]);
    let holds = |filter: &str, document: &Document<'_>| compile(filter).expect(filter).matches(document);
    assert_eq!(holds(r#"{"X-GitHub-Event":"push"}"#, &headers), Ok(true));
    assert_eq!(holds(r#"{"x-github-event":{"$regex":"^pu"}}"#, &headers), Ok(true));
    assert_eq!(holds(r#"{"X-GitHub-Event":"pull"}"#, &headers), Ok(false));
    assert_eq!(holds(r#"{"a":{"b":"c"}}"#, &headers), Ok(true));
    assert_eq!(holds(r#"{"a.$.b":"c"}"#, &headers), Ok(false));

    let query = Document::query("page=2&tag=a&tag=b%20c");
    assert_eq!(holds(r#"{"page":{"$gte":2}}"#, &query), Ok(true));
    assert_eq!(holds(r#"{"tag":"b c"}"#, &query), Ok(true));
    assert_eq!(holds(r#"{"Page":2}"#, &query), Ok(false));

    assert_eq!(holds(r#"{"path":"/ingest/abc"}"#, &Document::path("/ingest/abc")), Ok(true));
    assert_eq!(holds(r#"{"path":{"$neq":"/ingest/abc"}}"#, &Document::path("")), Ok(false));

    let headers = Document::headers_json(br#"{"X-Kind":["a","b"]}"#);
    assert_eq!(holds(r#"{"x-kind":"b"}"#, &headers), Ok(true));
    assert_eq!(holds(r#"{"X.$.b":"b"}"#, &Document::headers_json(br#"{"X":[{"b":"b"}]}"#)), Ok(false));
    assert_eq!(holds(r#"{"X.$.b":"b"}"#, &Document::parameters_json(br#"{"X":[{"b":"b"}]}"#)), Ok(false));
}
