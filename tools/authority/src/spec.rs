//! The capDL specification as the image builder writes it: objects, and the capabilities in
//! their slots.
//!
//! The format is the JSON form of `sel4-capdl-initializer-types`; what nothing here looks at
//! (contents of frames, say) is skipped.

mod raw;

use core::fmt;
use serde::Deserialize;
use untyped_plan::{Paddr, Span};

use self::raw::{RawSpec, object};

/// Position of an object in a specification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
pub struct Id(pub usize);

/// Kind of an object, and of the capability that names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Memory from which objects are made.
    Untyped,
    /// What a protected call goes through.
    Endpoint,
    /// What a notification goes through.
    Notification,
    /// A table of capabilities.
    CNode,
    /// A thread.
    Tcb,
    /// A virtual CPU.
    VCpu,
    /// A page of memory.
    Frame,
    /// A page table; the root of one is a VSpace.
    PageTable,
    /// Time on a CPU.
    SchedContext,
    /// Where a reply goes.
    Reply,
    /// An interrupt line; its capability is the handler.
    Irq,
    /// Secure monitor calls.
    Smc,
    /// Anything else, by its capDL name.
    Other(String),
}

impl Kind {
    fn new(name: &str) -> Self {
        match name {
            "Untyped" => Self::Untyped,
            "Endpoint" => Self::Endpoint,
            "Notification" => Self::Notification,
            "CNode" => Self::CNode,
            "Tcb" => Self::Tcb,
            "VCpu" => Self::VCpu,
            "Frame" => Self::Frame,
            "PageTable" => Self::PageTable,
            "SchedContext" => Self::SchedContext,
            "Reply" => Self::Reply,
            "Irq" | "IrqHandler" | "ArmIrq" | "ArmIrqHandler" => Self::Irq,
            "ArmSmc" => Self::Smc,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The name that users of seL4 know.
    pub fn name(&self) -> &str {
        match self {
            Self::Untyped => "untyped",
            Self::Endpoint => "endpoint",
            Self::Notification => "notification",
            Self::CNode => "CNode",
            Self::Tcb => "TCB",
            Self::VCpu => "vCPU",
            Self::Frame => "frame",
            Self::PageTable => "page table",
            Self::SchedContext => "sched context",
            Self::Reply => "reply",
            Self::Irq => "IRQ handler",
            Self::Smc => "SMC",
            Self::Other(name) => name,
        }
    }
}

/// Rights of a capability.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Deserialize)]
pub struct Rights {
    /// Read a frame, receive.
    #[serde(default)]
    pub read: bool,
    /// Write a frame, send.
    #[serde(default)]
    pub write: bool,
    /// Send capabilities along.
    #[serde(default)]
    pub grant: bool,
    /// Be replied to.
    #[serde(default)]
    pub grant_reply: bool,
}

impl fmt::Display for Rights {
    /// `r`, `w`, `g` (grant) and `p` (grant reply), as many as there are; `-` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (self.read, 'r'),
            (self.write, 'w'),
            (self.grant, 'g'),
            (self.grant_reply, 'p'),
        ];
        let text: String = letters
            .iter()
            .filter_map(|&(has, letter)| has.then_some(letter))
            .collect();
        f.pad(if text.is_empty() { "-" } else { &text })
    }
}

/// A capability.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cap {
    /// What kind of object it is for.
    pub kind: Kind,
    /// The object; some kinds (SMC) may do without.
    pub object: Option<Id>,
    /// Rights, of the kinds that have them.
    pub rights: Option<Rights>,
    /// Badge of an endpoint or notification; 0 is none.
    pub badge: u64,
    /// Guard of a CNode.
    pub guard: u64,
    /// Bits of the guard.
    pub guard_bits: u8,
    /// Whether a frame is mapped cached.
    pub cached: bool,
    /// Whether a frame may be executed.
    pub executable: bool,
}

/// An object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Filled slots, as the specification lists them.
    pub slots: Vec<(u32, Cap)>,
    /// log2 of the bytes of a frame or untyped, of the slots of a CNode.
    pub size_bits: u8,
    /// Where it must lie.
    pub paddr: Option<Paddr>,
    /// Level of a page table: 3 is the one that holds 4 KiB pages.
    pub level: Option<u8>,
    /// Scheduling priority of a thread.
    pub priority: u8,
    /// Core of a thread.
    pub core: u64,
    /// Highest priority that a thread can give itself or others (maximum controlled priority).
    pub max_priority: u8,
    /// What seL4's domain scheduler takes a thread for; `None` is domain 0.
    pub sched_domain: Option<u64>,
    /// What a scheduling context is worth.
    pub time: Option<Time>,
    /// Number of an interrupt (GIC INTID).
    pub irq: Option<u64>,
    /// Whether an interrupt is edge-triggered.
    pub edge: bool,
}

/// What a scheduling context is worth: so much time in each period.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Time {
    /// Microseconds in each period.
    pub budget: u64,
    /// Microseconds of a period.
    pub period: u64,
    /// The data word of a timeout fault.
    pub badge: u64,
}

impl Object {
    /// The capability in slot `slot`.
    pub fn slot(&self, slot: u32) -> Option<&Cap> {
        let mut slots = self.slots.iter();
        slots.find_map(|(at, cap)| (*at == slot).then_some(cap))
    }

    /// Bytes of a frame or untyped.
    pub fn bytes(&self) -> u64 {
        1u64.checked_shl(self.size_bits.into()).unwrap_or(0)
    }

    /// The memory that a frame or untyped is, if its place is known.
    pub fn span(&self) -> Option<Span> {
        matches!(self.kind, Kind::Frame | Kind::Untyped)
            .then(|| Span::sized(self.paddr?, self.bytes()))?
    }
}

/// A specification. Every capability's object is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    objects: Vec<Object>,
    irqs: Vec<(u64, Id)>,
    domain_schedule: bool,
}

/// Why a specification cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SpecError {
    /// Not the JSON that is expected.
    Json(String),
    /// An object that is not of exactly one kind.
    Object(String),
    /// A capability to an object that is not there.
    Dangling {
        /// Name of the object that holds it.
        holder: String,
        /// Its slot.
        slot: u32,
    },
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(
                f,
                "not a capDL specification in JSON: {error}\n  try: the file that zazen-image --capdl-json writes"
            ),
            Self::Object(name) => write!(f, "object '{name}' is not of one kind"),
            Self::Dangling { holder, slot } => write!(
                f,
                "slot {slot} of '{holder}' names an object that the specification does not have"
            ),
        }
    }
}

impl core::error::Error for SpecError {}

impl Spec {
    /// Reads a specification from JSON.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let raw: RawSpec =
            serde_json::from_str(text).map_err(|error| SpecError::Json(error.to_string()))?;
        let mut objects = Vec::with_capacity(raw.objects.len());
        for (index, named) in raw.objects.into_iter().enumerate() {
            let name = named.name.unwrap_or_else(|| format!("object {index}"));
            objects.push(object(name, named.object)?);
        }
        let spec = Self {
            objects,
            irqs: raw.irqs.iter().map(|irq| (irq.irq, irq.handler)).collect(),
            domain_schedule: raw.domain_schedule.is_some(),
        };
        for object in &spec.objects {
            for (slot, cap) in &object.slots {
                if cap.object.is_some_and(|id| spec.get(id).is_none()) {
                    let holder = object.name.clone();
                    return Err(SpecError::Dangling {
                        holder,
                        slot: *slot,
                    });
                }
            }
        }
        Ok(spec.with_irqs())
    }

    fn with_irqs(mut self) -> Self {
        for &(irq, handler) in &self.irqs {
            if let Some(object) = self.objects.get_mut(handler.0) {
                object.irq = Some(irq);
            }
        }
        self
    }

    /// Interrupt lines (GIC INTIDs) and the objects that stand for them.
    pub fn irqs(&self) -> &[(u64, Id)] {
        &self.irqs
    }

    /// Makes interrupt `irq` of what entry `index` of [`Self::irqs`] has.
    /// Nothing happens if there is no such entry.
    pub fn set_irq(&mut self, index: usize, irq: u64) {
        if let Some(entry) = self.irqs.get_mut(index) {
            entry.0 = irq;
            if let Some(object) = self.objects.get_mut(entry.1.0) {
                object.irq = Some(irq);
            }
        }
    }

    /// Whether seL4's domain scheduler is given anything to do.
    pub fn has_domain_schedule(&self) -> bool {
        self.domain_schedule
    }

    /// The object at `id`, to be changed: for questions of the form "what if it were so?".
    pub fn edit(&mut self, id: Id) -> Option<&mut Object> {
        self.objects.get_mut(id.0)
    }

    /// Fills slot `slot` of object `id`: for questions of the form "what if it had this?".
    /// Nothing happens if there is no such object, or none for the capability.
    pub fn insert(&mut self, id: Id, slot: u32, cap: Cap) {
        if cap.object.is_some_and(|object| self.get(object).is_none()) {
            return;
        }
        if let Some(object) = self.objects.get_mut(id.0) {
            object.slots.retain(|(at, _)| *at != slot);
            object.slots.push((slot, cap));
        }
    }

    /// Position of the object called `name`.
    pub fn find(&self, name: &str) -> Option<Id> {
        self.objects.iter().position(|o| o.name == name).map(Id)
    }

    /// All objects with their positions.
    pub fn objects(&self) -> impl Iterator<Item = (Id, &Object)> {
        self.objects
            .iter()
            .enumerate()
            .map(|(index, object)| (Id(index), object))
    }

    /// The object at `id`.
    pub fn get(&self, id: Id) -> Option<&Object> {
        self.objects.get(id.0)
    }

    /// Name of the object at `id`.
    pub fn name(&self, id: Id) -> &str {
        self.get(id).map_or("?", |object| &object.name)
    }
}
