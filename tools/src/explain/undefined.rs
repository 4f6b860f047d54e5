//! Lines of the log about what is undefined for a guest: instructions and system registers that no
//! guest is offered.

use hypervisor_core::diag::fault::{refused, without};

use super::fault::guest_code;

/// Exception classes are six bits (Arm ARM D19.2.37, `ESR_ELx.EC`).
const CLASSES: u32 = 1 << 6;

/// Explains `line` if it names a system register (`S3_0_C2_C1_0`) or an instruction that is
/// undefined for guests.
pub(super) fn explain(line: &str) -> Option<String> {
    let text = line
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .find_map(register)
        .or_else(|| instruction(line))?;
    Some(text + &guest_code(line))
}

/// What is to be said of the register `name`, if it is one.
fn register(name: &str) -> Option<String> {
    let mut fields = name.strip_prefix(['S', 's'])?.split('_');
    let mut field = |prefix: &[char], end: u8| {
        let text = fields.next()?;
        let digits = match prefix {
            [] => text,
            _ => text.strip_prefix(prefix)?,
        };
        digits.parse::<u8>().ok().filter(|value| *value < end)
    };
    let encoding = (
        field(&[], 4)?,
        field(&[], 8)?,
        field(&['C', 'c'], 16)?,
        field(&['C', 'c'], 16)?,
        field(&[], 8)?,
    );
    fields.next().is_none().then(|| {
        let (op0, op1, crn, crm, op2) = encoding;
        format!(
            "What: the system register S{op0}_{op1}_C{crn}_C{crm}_{op2} (op0 {op0}, op1 {op1}, CRn {crn}, CRm {crm}, \
             op2 {op2}; Arm ARM D17.1 has the names). Where Zazen reports it, no guest has it: the access is \
             undefined for the guest, as on a processor without it.\n\
             Try: {}.\n",
            without(encoding)
        )
    })
}

/// What is to be said of an instruction, whose words `line` has as the VMM writes them.
fn instruction(line: &str) -> Option<String> {
    if !line.contains("undefined for") {
        return None;
    }
    if line.contains("hvc #") {
        return Some(String::from(
            "What: an HVC with an immediate that is neither Xen's (0xea1) nor PSCI's (0). The guest gets an \
             undefined-instruction exception, as on Xen.\n\
             Try: hvc #0xea1 for Xen's calls, hvc #0 or smc #0 for PSCI's.\n",
        ));
    }
    // The longest words first: "smc of AArch32" is not "smc".
    let (what, advice) = (0..CLASSES)
        .map(refused)
        .filter(|(what, _)| !what.is_empty() && line.contains(what))
        .max_by_key(|(what, _)| what.len())
        .or_else(|| {
            line.contains("exception class")
                .then_some(("an instruction without a name here", ""))
        })?;
    let advice = match advice {
        "" => String::new(),
        advice => format!("Try: {advice}.\n"),
    };
    Some(format!(
        "What: {what}. No guest is offered it: the guest gets an undefined-instruction exception at that PC, and \
         its own handler decides what comes next.\n{advice}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hv_types::Gva;
    use hypervisor_core::diag::fault::{NoRegister, NotOffered, OtherCall};
    use hypervisor_core::exit::syndrome::{Trap, decode};

    const PC: Gva = Gva::new(0xffff_8000_0801_0000);

    #[test]
    fn every_class_with_words_is_explained_as_the_vmm_writes_it() {
        for class in 0..CLASSES {
            let line = NotOffered {
                esr: class << 26,
                pc: PC,
            }
            .to_string();
            let text = explain(&line).unwrap_or_else(|| panic!("{line}"));
            let (what, advice) = refused(class);
            assert!(
                text.contains(what) && text.contains(advice),
                "{line}: {text}"
            );
            assert!(
                text.contains("addr2line -fie vmlinux 0xffff800008010000"),
                "{text}"
            );
        }
    }

    #[test]
    fn registers_are_explained_as_the_vmm_writes_them() {
        // A read of APIAKeyLo_EL1: MRS x0, S3_0_C2_C1_0.
        let Trap::SysReg(access) = decode(0x6230_0803) else {
            panic!("no access to a system register");
        };
        let line = NoRegister { access, pc: PC }.to_string();
        let text = explain(&line).unwrap_or_else(|| panic!("{line}"));
        assert!(text.contains("S3_0_C2_C1_0"), "{text}");
        assert!(text.contains("arm64.nopauth"), "{text}");
        assert_eq!(
            explain("s3_0_c2_c1_0").as_deref(),
            register("S3_0_C2_C1_0").as_deref()
        );
    }

    #[test]
    fn what_is_no_register_is_not_explained() {
        for name in [
            "S3_0_C2_C1",
            "S4_0_C2_C1_0",
            "S3_0_C16_C1_0",
            "S3_0_C2_C1_0_0",
            "Sxen",
            "S",
        ] {
            assert_eq!(explain(name), None, "{name}");
        }
    }

    #[test]
    fn another_hvc_is_explained() {
        let line = OtherCall {
            imm: 0x1234,
            pc: PC,
        }
        .to_string();
        assert!(
            explain(&line).is_some_and(|text| text.contains("0xea1")),
            "{line}"
        );
    }
}
