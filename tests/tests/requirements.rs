//! docs/requirements.md says the truth, and every requirement has its code and its test.

use std::fs;
use std::path::Path;

use zazen_tests::requirements::{gaps, scan, table};

#[test]
fn every_requirement_has_code_and_a_test_and_the_page_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = scan(&root).unwrap();
    let page = root.join("docs/requirements.md");
    let table = table(&found);
    if std::env::var_os("ZAZEN_WRITE_REQUIREMENTS").is_some() {
        fs::write(&page, &table).unwrap();
    }
    let gaps = gaps(&found);
    assert!(gaps.is_empty(), "{} gaps:\n{}", gaps.len(), gaps.join("\n"));
    assert!(
        fs::read_to_string(&page).unwrap_or_default() == table,
        "docs/requirements.md is stale; write it anew with\n\
         ZAZEN_WRITE_REQUIREMENTS=1 cargo test -p zazen-tests --test requirements"
    );
}
