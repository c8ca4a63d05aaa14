//! A MessagePack map in the making, field by field, with values that are encoded already among them.

use rmp::encode::{write_bin, write_bool, write_map_len, write_str, write_uint};

/// Writing to memory never fails.
pub(super) const INTO_MEMORY: &str = "memory takes every byte";

/// Its head, with the number of fields, comes last.
#[derive(Default)]
pub(super) struct Map {
    fields: u32,
    bytes: Vec<u8>,
}

impl Map {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { fields: 0, bytes: Vec::with_capacity(bytes) }
    }

    /// A field whose value is encoded already.
    pub(super) fn field(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.bytes.extend(value);
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        write_str(&mut self.bytes, text).expect(INTO_MEMORY);
    }

    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.name(name);
        write_bin(&mut self.bytes, bytes).expect(INTO_MEMORY);
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        write_uint(&mut self.bytes, number).expect(INTO_MEMORY);
    }

    pub(super) fn flag(&mut self, name: &str, flag: bool) {
        self.name(name);
        write_bool(&mut self.bytes, flag).expect(INTO_MEMORY);
    }

    fn name(&mut self, name: &str) {
        self.fields += 1;
        write_str(&mut self.bytes, name).expect(INTO_MEMORY);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let mut head = Vec::new();
        write_map_len(&mut head, self.fields).expect(INTO_MEMORY);
        self.bytes.splice(0..0, head);
        self.bytes
    }
}
