//! The Microkit SDK: where its files are and what they say about board and kernel.

use std::fs;
use std::path::{Path, PathBuf};

use microkit_tool::elf::ElfFile;
use microkit_tool::sel4::{Arch, Config, ObjectSizes, PlatformConfig, RiscvVirtualMemory};
use microkit_tool::util::{json_str, json_str_as_bool, json_str_as_u64};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// One board and configuration of an SDK.
pub struct Sdk {
    directory: PathBuf,
    /// Configuration: debug, release or benchmark (or their smp- forms).
    pub config_name: String,
    /// Name of the board.
    pub board: String,
    /// The kernel's configuration as Microkit's library wants it.
    pub kernel: Config,
}

impl Sdk {
    /// Opens board `board`, configuration `config` of the SDK in `root`.
    ///
    /// # Errors
    /// What is missing there.
    pub fn open(root: &Path, board: &str, config: &str) -> Result<Self, Error> {
        let boards = root.join("board");
        if !boards.is_dir() {
            return Err(
                Error::new(format!("there is no Microkit SDK in {}", root.display())).advise(
                    "give its directory with --sdk, or set MICROKIT_SDK; Microkit 2.3.0 is needed",
                ),
            );
        }
        if !boards.join(board).is_dir() {
            return Err(Error::new(format!(
                "the SDK in {} has no board '{board}'",
                root.display()
            ))
            .advise(format!("one of: {}", subdirectories(&boards))));
        }
        let directory = boards.join(board).join(config);
        if !directory.is_dir() {
            return Err(Error::new(format!(
                "the SDK has no configuration '{config}' for board '{board}'"
            ))
            .advise(format!("one of: {}", subdirectories(&boards.join(board)))));
        }
        let kernel = kernel_config(&directory, config).map_err(|error| {
            Error::new(format!(
                "the SDK's files in {} are not those of Microkit 2.3.0: {error}",
                directory.display()
            ))
        })?;
        if kernel.arch != Arch::Aarch64 || !kernel.hypervisor {
            return Err(Error::new(format!(
                "board '{board}' is not AArch64 with seL4 as a hypervisor: it cannot run guests"
            )));
        }
        Ok(Self {
            directory,
            config_name: config.to_owned(),
            board: board.to_owned(),
            kernel,
        })
    }

    /// One of the SDK's ELF files (`sel4`, `loader`, `monitor`, `initialiser`).
    ///
    /// # Errors
    /// That it is not there or no ELF file.
    pub fn elf(&self, name: &str) -> Result<ElfFile, Error> {
        read_elf(&self.elf_path(name))
    }

    /// Where the SDK keeps ELF file `name`.
    pub fn elf_path(&self, name: &str) -> PathBuf {
        self.directory.join("elf").join(format!("{name}.elf"))
    }
}

/// Reads an ELF file.
///
/// # Errors
/// That it cannot be read, or is no 64-bit little-endian ELF file.
pub(crate) fn read_elf(path: &Path) -> Result<ElfFile, Error> {
    let bytes = fs::read(path)
        .map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))?;
    // Microkit's reader indexes the header without a look at the length.
    if bytes.len() < 64 || bytes.get(..4) != Some(b"\x7fELF") {
        return Err(Error::new(format!("{} is not an ELF file", path.display())));
    }
    ElfFile::from_path(path).map_err(|error| Error::new(format!("{}: {error}", path.display())))
}

fn subdirectories(path: &Path) -> String {
    let mut names: Vec<String> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names.join(", ")
}

fn read_json(path: &Path) -> Result<Value, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn table<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    serde_json::from_value(read_json(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

/// What Microkit's own `main` does to make its `Config`.
fn kernel_config(directory: &Path, config: &str) -> Result<Config, String> {
    let json = read_json(&directory.join("include/kernel/gen_config.json"))?;
    let arch = match json_str(&json, "SEL4_ARCH")? {
        "aarch64" => Arch::Aarch64,
        other => return Err(format!("architecture {other} instead of aarch64")),
    };
    let pa_bits = if json_str_as_bool(&json, "ARM_PA_SIZE_BITS_40")? {
        40
    } else {
        44
    };
    let num_cores = if json_str_as_bool(&json, "ENABLE_SMP_SUPPORT")? {
        u8::try_from(json_str_as_u64(&json, "MAX_NUM_NODES")?).map_err(|e| e.to_string())?
    } else {
        1
    };
    let platform: PlatformConfig = table(&directory.join("platform_gen.json"))?;
    let object_sizes: ObjectSizes = table(&directory.join("object_sizes.json"))?;
    Ok(Config {
        arch,
        word_size: json_str_as_u64(&json, "WORD_SIZE")?,
        minimum_page_size: 1 << object_sizes.small_page,
        paddr_user_device_top: json_str_as_u64(&json, "PADDR_USER_DEVICE_TOP")?,
        kernel_frame_size: 1 << 12,
        init_cnode_bits: json_str_as_u64(&json, "ROOT_CNODE_SIZE_BITS")?,
        cap_address_bits: 64,
        fan_out_limit: json_str_as_u64(&json, "RETYPE_FAN_OUT_LIMIT")?,
        max_num_bootinfo_untypeds: json_str_as_u64(&json, "MAX_NUM_BOOTINFO_UNTYPED_CAPS")?,
        iommu: false,
        hypervisor: json_str_as_bool(&json, "ARM_HYPERVISOR_SUPPORT")?,
        benchmark: config.ends_with("benchmark"),
        num_cores,
        num_domains: u8::try_from(json_str_as_u64(&json, "NUM_DOMAINS")?)
            .map_err(|e| e.to_string())?,
        num_domain_schedules: json_str_as_u64(&json, "NUM_DOMAIN_SCHEDULES")?,
        fpu: json_str_as_bool(&json, "HAVE_FPU")?,
        arm_pa_size_bits: Some(pa_bits),
        arm_smc: Some(json_str_as_bool(&json, "ALLOW_SMC_CALLS")?),
        riscv_pt_levels: None::<RiscvVirtualMemory>,
        invocations_labels: read_json(&directory.join("invocations_all.json"))?,
        device_regions: Some(platform.devices),
        normal_regions: Some(platform.memory),
        object_sizes,
        address_space_constants: table(&directory.join("address_space_constants.json"))?,
    })
}
