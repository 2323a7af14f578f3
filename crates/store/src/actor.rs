//! Who changes something.

/// Who changes something. It is recorded with every event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The collector in the cloud, on its schedule.
    Collector,
    /// Somebody at a command line, by the name of their login on that machine.
    Person(String),
}

impl Actor {
    /// The person who is logged in at this machine.
    pub fn here(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let name = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(lookup).filter(|name| !name.is_empty());
        Self::Person(name.unwrap_or_else(|| "unknown".to_owned()))
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Person(_) => "person",
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Collector => None,
            Self::Person(name) => Some(name),
        }
    }
}
