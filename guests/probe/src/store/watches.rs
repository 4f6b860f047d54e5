//! Watches: what is told, and when.

use super::kind::*;
use super::{OK, Rules};

pub(super) fn run(c: &mut Rules<'_>) {
    c.is("watch", WATCH, "data/w|t|", OK);
    c.events("first-event", "data/w|t|;");
    c.is("watch-twice", WATCH, "data/w|t|", "EEXIST|");
    c.is("watch-other-token", WATCH, "data/w|u|", OK);
    c.events("first-event-again", "data/w|u|;");
    c.is("unwatch", UNWATCH, "data/w|u|", OK);
    c.is("unwatch-twice", UNWATCH, "data/w|u|", "ENOENT|");
    c.is("write", WRITE, "data/w|x", OK);
    c.events("node-itself", "data/w|t|;");
    c.is("write-below", WRITE, "data/w/a/b|x", OK);
    c.events("below", "data/w/a/b|t|;");
    c.is("write-beside", WRITE, "data/wx|x", OK);
    c.events("beside-is-nothing", "");
    c.is("mkdir-there", MKDIR, "data/w/a|", OK);
    c.events("nothing-changed", "");
    c.is("set-perms", SET_PERMS, "data/w/a|n%|", OK);
    c.events("perms-change", "data/w/a|t|;");
    // A relative watch gets relative paths, another one those that it watches.
    c.is("watch-absolute", WATCH, "/local/domain/%/data/w/a|v|", OK);
    c.events("first-absolute", "/local/domain/%/data/w/a|v|;");
    c.is("write-below-both", WRITE, "data/w/a/c|x", OK);
    c.events("both", "data/w/a/c|t|;/local/domain/%/data/w/a/c|v|;");
    // Taking a directory away is one event for those above, and one for a watch on a node in it.
    c.is("watch-leaf", WATCH, "data/w/a/b|leaf|", OK);
    c.events("first-leaf", "data/w/a/b|leaf|;");
    c.is("rm", RM, "data/w/a|", OK);
    c.events(
        "removal",
        "data/w/a/b|leaf|;data/w/a|t|;/local/domain/%/data/w/a|v|;",
    );
    c.is("rm-missing", RM, "data/w/a|", OK);
    c.events("nothing-removed", "");
    // Depth.
    c.is("watch-depth", WATCH, "data/d|one|1|", OK);
    c.events("first-depth", "data/d|one|;");
    c.is("write-depth-1", WRITE, "data/d/a|x", OK);
    c.events("depth-1", "data/d/a|one|;");
    c.is("write-depth-2", WRITE, "data/d/a/b|x", OK);
    c.events("depth-2", "");
    // What one may not read is not told.
    c.is("watch-hidden", WATCH, "/tool|h|", OK);
    c.events("first-hidden", "/tool|h|;");
    c.is("watch-special", WATCH, "@releaseDomain|gone|", OK);
    c.events("first-special", "@releaseDomain|gone|;");
    c.is("watch-bad-path", WATCH, "data//w|t|", "EINVAL|");
    c.is("reset", RESET_WATCHES, "|", OK);
    c.is("write-after-reset", WRITE, "data/w|y", OK);
    c.events("none-is-left", "");
    c.is("clean", RM, "data/w|", OK);
    c.is("clean", RM, "data/wx|", OK);
    c.is("clean", RM, "data/d|", OK);
}
