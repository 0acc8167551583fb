//! What is wrong with a form that was sent: the first thing on its page, with the way to each field.

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// The id of its field; empty when it is of none.
    pub(super) field: &'static str,
    pub(super) said: String,
    /// Somebody else's words, which stand behind ours; empty when there are none.
    pub(super) quoted: String,
}

/// Everything that is wrong with a form; nothing, when it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Alert(Vec<Fault>);

impl Alert {
    /// One thing.
    pub(super) fn of(field: &'static str, said: impl Into<String>) -> Self {
        Self::default().and(field, said)
    }

    /// One thing that is no field's, and somebody else's words.
    pub(super) fn quoting(said: impl Into<String>, quoted: String) -> Self {
        Self(vec![Fault { field: "", said: said.into(), quoted }])
    }

    /// And another thing.
    pub(super) fn and(mut self, field: &'static str, said: impl Into<String>) -> Self {
        self.0.push(Fault { field, said: said.into(), quoted: String::new() });
        self
    }

    pub(super) fn faults(&self) -> &[Fault] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something is wrong with that field.
    pub(super) fn is_of(&self, field: &str) -> bool {
        self.0.iter().any(|fault| fault.field == field)
    }

    /// What the title of the page begins with, so that it is the first thing that is read out.
    pub(super) fn title(&self) -> &'static str {
        if self.is_empty() { "" } else { "Error: " }
    }
}
