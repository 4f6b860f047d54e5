//! A domains file with a mistake: what `build.sh image` says of it, and that the image made before
//! stays.

use std::fs;

use crate::machine::Failure;
use crate::scenes::lab::Lab;
use crate::suite::Suite;

/// The line that is changed, and a range across the border of seL4's RAM in its place: the packers
/// take it, the checker does not.
const MISTAKE: (&str, &str) = (
    "xen,static-mem = <0x0 0x40000000 0x0 0x10000000>;",
    "xen,static-mem = <0x0 0x5f000000 0x0 0x10000000>;",
);
/// What the checker says of that.
const CODE: &str = "zazen::board::kernel-ram-border";

/// Runs the scene in the seL4 configuration `config`, or on the EL2 host.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let name = format!("{config}/refused/a-broken-file-leaves-the-image-as-it-was");
    if suite.wants(std::slice::from_ref(&name)) {
        suite.run(&name, || refused(lab, config));
    }
}

fn refused(lab: &Lab, config: &str) -> Result<(), Failure> {
    let (good, bad) = MISTAKE;
    let file = lab.changed(config, "one-linux.dts", "refused", &[(good, good)])?;
    let image = lab.image(config, &file)?;
    let before = (fs::read(&image)?, fs::metadata(&image)?.modified()?);
    lab.changed(config, "one-linux.dts", "refused", &[(good, bad)])?;
    let said = match lab.image(config, &file) {
        Ok(image) => return Err(Failure(format!("{} was made", image.display()))),
        Err(Failure(said)) => said,
    };
    if said.matches(CODE).count() != 1 || !said.contains("no image is made of ") {
        return Err(Failure(format!("this should name {CODE} once: {said}")));
    }
    let after = (fs::read(&image)?, fs::metadata(&image)?.modified()?);
    if after != before {
        return Err(Failure(format!("{} is another one", image.display())));
    }
    Ok(())
}
