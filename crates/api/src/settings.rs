//! The limits of the surfaces, named, with their units.

#[derive(Clone, Debug)]
pub struct Settings {
    /// A longer request body is refused with 413 and not read to its end.
    pub body_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { body_bytes_max: 16 * 1024 * 1024 }
    }
}
