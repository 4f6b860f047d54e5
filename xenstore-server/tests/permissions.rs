//! Who may do what.

mod common;

use common::{OK, Rig, assert_answer, nul};
use xen_abi::store::kind;

/// Two guests; `data/shared` of the first has these permissions.
fn shared(perms: &str) -> Rig {
    let mut rig = Rig::new(3);
    assert_answer(rig.write(0, "data/shared", "value"), OK);
    assert_answer(rig.set_perms(0, "data/shared", perms), OK);
    rig
}

const SHARED: &str = "/local/domain/1/data/shared";

#[test]
fn rights_to_read_and_write() {
    for (perms, reads, writes) in [
        ("n1|r2", true, false),
        ("n1|w2", false, true),
        ("n1|b2", true, true),
        ("n1|n2", false, false),
        ("r1", true, false),
        ("w1|n3", false, true),
        ("b1|n2", false, false),
        ("n1|r32757", true, false),
    ] {
        let mut rig = shared(perms);
        let (read, write) = (rig.read(1, SHARED), rig.write(1, SHARED, "new"));
        assert_answer(read, if reads { Ok("value") } else { Err("EACCES") });
        assert_answer(write, if writes { OK } else { Err("EACCES") });
        let value = if writes { "new" } else { "value" };
        assert_answer(rig.read(0, SHARED), Ok(value));
        let told = rig.ask(1, kind::GET_PERMS, 0, &nul(SHARED));
        let perms = format!("{perms}|");
        assert_answer(told, if reads { Ok(&perms) } else { Err("EACCES") });
    }
}

#[test]
fn whoever_may_write_may_make_and_remove() {
    let mut rig = shared("n1|b2");
    let below = format!("{SHARED}/of/two");
    assert_answer(rig.write(1, &below, "x"), OK);
    // It is the maker's, and inherits the rest.
    let perms = rig.ask(1, kind::GET_PERMS, 0, &nul(&below));
    assert_answer(perms, Ok("n2|b2|"));
    assert_answer(rig.read(0, &below), Err("EACCES"));
    assert_answer(rig.directory(0, SHARED), Ok("of|"));
    // The owner of what is above may remove it all the same.
    assert_answer(rig.rm(0, &below), Err("EACCES"));
    assert_answer(rig.rm(0, "data/shared"), OK);
    assert_answer(rig.read(1, &below), Err("EACCES"));
}

#[test]
fn what_is_missing_is_told_to_those_who_may_look_above() {
    let mut rig = shared("n1|r2");
    let missing = format!("{SHARED}/missing/more");
    assert_answer(rig.read(1, &missing), Err("ENOENT"));
    assert_answer(rig.read(2, &missing), Err("EACCES"));
    assert_answer(rig.write(1, &missing, ""), Err("EACCES"));
    assert_answer(rig.read(1, "/local/domain/1/data/other"), Err("EACCES"));
    let mut rig = shared("n1|w2");
    // Of two rights that are needed one is enough to hear why.
    assert_answer(rig.set_perms(1, &missing, "n2"), Err("ENOENT"));
    assert_answer(rig.read(1, &missing), Err("EACCES"));
}

#[test]
fn permissions_are_changed_by_the_owner() {
    let mut rig = shared("b1");
    assert_answer(rig.set_perms(1, SHARED, "n1"), Err("EACCES"));
    assert_answer(rig.set_perms(0, SHARED, "n2|b1"), Err("EPERM"));
    assert_answer(rig.set_perms(0, SHARED, "n1|r2|w3|b0"), OK);
    let perms = |rig: &mut Rig| rig.ask(0, kind::GET_PERMS, 0, &nul(SHARED));
    assert_answer(perms(&mut rig), Ok("n1|r2|w3|b0|"));
    // A domain that does not exist is passed over, but not as the owner.
    assert_answer(rig.set_perms(0, SHARED, "n1|r9"), OK);
    assert_answer(perms(&mut rig), Ok("n1|r9|"));
    assert_answer(rig.set_perms(0, SHARED, "n9"), Err("ENOENT"));
    for bad in ["", "x1", "r", "1", "r1 ", "rr1"] {
        assert_answer(rig.set_perms(0, SHARED, bad), Err("EINVAL"));
    }
    assert_answer(rig.ask(0, kind::SET_PERMS, 0, &nul(SHARED)), Err("EINVAL"));
    assert_answer(rig.ask(0, kind::SET_PERMS, 0, b""), Err("EINVAL"));
    assert_answer(rig.set_perms(0, "data/none", "n1"), Err("ENOENT"));
    // Special nodes are the toolstack's.
    assert_answer(rig.set_perms(0, "@releaseDomain", "n1"), Err("EACCES"));
    let special = rig.ask(0, kind::GET_PERMS, 0, b"@releaseDomain\0");
    assert_answer(special, Ok("n0|r32757|"));
    let hidden = rig.ask(0, kind::GET_PERMS, 0, b"@introduceDomain\0");
    assert_answer(hidden, Err("EACCES"));
}

#[test]
fn a_guest_with_the_id_of_another_inherits_nothing() {
    let mut rig = shared("n1|b2");
    assert_answer(rig.write(1, &format!("{SHARED}/mine"), "x"), OK);
    rig.end(1);
    let perms = rig.ask(0, kind::GET_PERMS, 0, &nul(SHARED));
    assert_answer(perms, Ok("n1|"));
    // What it owned elsewhere is gone.
    assert_answer(rig.directory(0, SHARED), Ok(""));
    rig.connect(1);
    assert_answer(rig.read(1, SHARED), Err("EACCES"));
    assert_answer(rig.read(1, "name"), Ok("linux2"));
}
