//! A pickle machine that builds data and does nothing else.
//!
//! Values are indices into one list, so nothing is nested in memory, and the list is never longer than the program: each
//! step adds at most one value.

use std::collections::HashMap;
use std::path::Path;

use crate::{Error, Result};

/// The index of a value.
pub(super) type Place = usize;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// None, a boolean or a floating-point number: nothing that tensors need.
    Other,
    Integer(i64),
    Text(String),
    /// A tuple or list.
    Sequence(Vec<Place>),
    Dictionary(Vec<(Place, Place)>),
    /// A name that may be called.
    Name(String),
    /// Raw numbers: their kind, and the name of the archive entry that holds them.
    Storage {
        kind: String,
        data: String,
    },
    Tensor {
        storage: Place,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    },
}

/// The state of a running pickle.
pub(super) struct Machine<'a> {
    path: &'a Path,
    program: &'a [u8],
    next: usize,
    nodes: Vec<Node>,
    stack: Vec<Place>,
    marks: Vec<usize>,
    memory: HashMap<u32, Place>,
}

impl<'a> Machine<'a> {
    /// Runs a program that begins at byte `start` to its end.
    pub(super) fn run(path: &'a Path, program: &'a [u8], start: usize) -> Result<Self> {
        let mut machine = Self {
            path,
            program,
            next: start,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memory: HashMap::new(),
        };
        while machine.step()? {}
        Ok(machine)
    }

    /// The byte behind the program.
    pub(super) fn end(&self) -> usize {
        self.next
    }

    /// The strings of the list that the program returned; `None` if it returned something else.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        self.sequence(*self.stack.last()?)?.iter().map(|&place| self.text(place)).collect()
    }

    /// Every storage that the program names: its kind and its name.
    pub(super) fn storages(&self) -> impl Iterator<Item = (&str, &str)> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Storage { kind, data } => Some((kind.as_str(), data.as_str())),
            _ => None,
        })
    }

    pub(super) fn node(&self, place: Place) -> &Node {
        &self.nodes[place]
    }

    pub(super) fn text(&self, place: Place) -> Option<&str> {
        match &self.nodes[place] {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn entries(&self, place: Place) -> Option<&[(Place, Place)]> {
        match &self.nodes[place] {
            Node::Dictionary(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn storage(&self, place: Place) -> Option<(&str, &str)> {
        match &self.nodes[place] {
            Node::Storage { kind, data } => Some((kind, data)),
            _ => None,
        }
    }

    /// The entries of the dictionary that the program returned; empty if it returned something else.
    pub(super) fn root(&self) -> &[(Place, Place)] {
        self.stack.last().and_then(|&place| self.entries(place)).unwrap_or_default()
    }

    fn error(&self, got: impl Into<String>, expected: &str) -> Error {
        let got = format!("{} at byte {} of its pickle", got.into(), self.next);
        Error::mismatch(self.path, got, expected)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let part = self.program.get(self.next..).and_then(|rest| rest.get(..length));
        let part = part.ok_or_else(|| self.error("the end", "a whole pickle"))?;
        self.next += length;
        Ok(part)
    }

    fn number<const N: usize>(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(self.take(N)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn length<const N: usize>(&mut self) -> Result<usize> {
        let length = self.number::<N>()?;
        usize::try_from(length).map_err(|_| self.error(format!("the length {length}"), "one that fits"))
    }

    fn line(&mut self) -> Result<String> {
        let rest = &self.program[self.next..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or_else(|| self.error("a name without an end", "a whole pickle"))?;
        let text = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.next += 1;
        Ok(text)
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Result<Place> {
        // Values before a mark belong to another list.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.error("a missing value", "a whole pickle"));
        }
        self.stack.pop().ok_or_else(|| self.error("a missing value", "a whole pickle"))
    }

    /// The values since the last mark.
    fn since_mark(&mut self) -> Result<Vec<Place>> {
        let mark =
            self.marks.pop().ok_or_else(|| self.error("a list without a beginning", "a whole pickle"))?;
        Ok(self.stack.split_off(mark))
    }

    fn tuple(&mut self, length: usize) -> Result<()> {
        let mut values = (0..length).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        values.reverse();
        self.push(Node::Sequence(values));
        Ok(())
    }

    /// Puts values into the list or dictionary at the top.
    fn put(&mut self, values: &[Place]) -> Result<()> {
        let top = self.stack.last().copied();
        let top = top.ok_or_else(|| self.error("values added to nothing", "a list or dictionary"))?;
        match &mut self.nodes[top] {
            Node::Sequence(list) => list.extend(values),
            Node::Dictionary(entries) => {
                let (pairs, rest) = values.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(self.error("a key without a value", "pairs"));
                }
                entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            _ => return Err(self.error("values added to something else", "a list or dictionary")),
        }
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<()> {
        let top = self.stack.last().copied();
        let top = top.ok_or_else(|| self.error("nothing to remember", "a value"))?;
        self.memory.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let place = self.memory.get(&key).copied();
        let place = place.ok_or_else(|| self.error(format!("value {key}"), "one that was remembered"))?;
        self.stack.push(place);
        Ok(())
    }

    /// Runs one opcode; false at the end.
    fn step(&mut self) -> Result<bool> {
        match self.take(1)?[0] {
            // The protocol version and frames do not affect values.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'N' | 0x88 | 0x89 => self.push(Node::Other),
            b'G' => {
                self.take(8)?;
                self.push(Node::Other);
            }
            b'J' => {
                let number = self.number::<4>()? as u32 as i32;
                self.push(Node::Integer(number.into()));
            }
            b'K' => {
                let number = self.number::<1>()? as i64;
                self.push(Node::Integer(number));
            }
            b'M' => {
                let number = self.number::<2>()? as i64;
                self.push(Node::Integer(number));
            }
            0x8a => self.long()?,
            b'X' => {
                let length = self.length::<4>()?;
                self.push_text(length)?;
            }
            0x8c => {
                let length = self.length::<1>()?;
                self.push_text(length)?;
            }
            0x8d => {
                let length = self.length::<8>()?;
                self.push_text(length)?;
            }
            b'}' => self.push(Node::Dictionary(Vec::new())),
            b']' | b')' => self.push(Node::Sequence(Vec::new())),
            b't' | b'l' => {
                let values = self.since_mark()?;
                self.push(Node::Sequence(values));
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b'a' => {
                let value = self.pop()?;
                self.put(&[value])?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.put(&[key, value])?;
            }
            b'e' | b'u' => {
                let values = self.since_mark()?;
                self.put(&values)?;
            }
            b'q' => {
                let key = self.number::<1>()? as u32;
                self.remember(key)?;
            }
            b'r' => {
                let key = self.number::<4>()? as u32;
                self.remember(key)?;
            }
            0x94 => {
                let key = self.memory.len() as u32;
                self.remember(key)?;
            }
            b'h' => {
                let key = self.number::<1>()? as u32;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.number::<4>()? as u32;
                self.recall(key)?;
            }
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.name(name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let both =
                    self.text(module).zip(self.text(name)).map(|(module, name)| format!("{module}.{name}"));
                let name = both.ok_or_else(|| self.error("a name that is not a string", "a name"))?;
                self.name(name)?;
            }
            b'Q' => self.persistent()?,
            b'R' => self.call()?,
            // Attributes of a dictionary, such as the versions of a model's modules, are dropped.
            b'b' => drop(self.pop()?),
            code => return Err(self.error(format!("the opcode {code:#04x}"), "an opcode that builds data")),
        }
        Ok(true)
    }

    fn long(&mut self) -> Result<()> {
        let length = self.length::<1>()?;
        if length > 8 {
            return Err(self.error(format!("an integer of {length} bytes"), "at most 8"));
        }
        let bytes = self.take(length)?;
        // Two's complement: extend the sign of the last byte.
        let fill = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xFF } else { 0 };
        let mut all = [fill; 8];
        all[..length].copy_from_slice(bytes);
        self.push(Node::Integer(i64::from_le_bytes(all)));
        Ok(())
    }

    fn push_text(&mut self, length: usize) -> Result<()> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.push(Node::Text(text));
        Ok(())
    }

    /// Only names that build data may be called; any other could run code.
    fn name(&mut self, name: String) -> Result<()> {
        let known = matches!(
            name.as_str(),
            "torch._utils._rebuild_tensor_v2"
                | "torch._utils._rebuild_tensor"
                | "torch._utils._rebuild_parameter"
                | "collections.OrderedDict"
                | "torch.Size"
        ) || name.strip_prefix("torch.").is_some_and(|rest| {
            rest.ends_with("Storage") && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if !known {
            let expected =
                "only tensors, dictionaries, lists, numbers and strings: other pickles are never run";
            return Err(self.error(format!("the name '{name}'"), expected));
        }
        self.push(Node::Name(name));
        Ok(())
    }

    fn sequence(&self, place: Place) -> Option<&[Place]> {
        match &self.nodes[place] {
            Node::Sequence(values) => Some(values),
            _ => None,
        }
    }

    fn extents(&self, place: Place) -> Option<Vec<usize>> {
        self.sequence(place)?.iter().map(|&place| self.extent(place)).collect()
    }

    fn extent(&self, place: Place) -> Option<usize> {
        match self.nodes[place] {
            Node::Integer(number) => usize::try_from(number).ok(),
            _ => None,
        }
    }

    /// `("storage", kind, name, device, length)`; before version 1.6 also the view of another storage, which is refused.
    fn persistent(&mut self) -> Result<()> {
        let place = self.pop()?;
        let storage = self.sequence(place).and_then(|values| {
            let [tag, kind, data, ..] = values else { return None };
            if values.get(5).is_some_and(|&view| !matches!(self.nodes[view], Node::Other)) {
                return None;
            }
            let (Node::Name(kind), "storage", data) =
                (&self.nodes[*kind], self.text(*tag)?, self.text(*data)?)
            else {
                return None;
            };
            Some(Node::Storage { kind: kind.trim_start_matches("torch.").to_owned(), data: data.to_owned() })
        });
        let storage =
            storage.ok_or_else(|| self.error("another kind of persistent value", "numbers of a tensor"))?;
        self.push(storage);
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, name) = (self.pop()?, self.pop()?);
        let wrong =
            |machine: &Self, name: &str| machine.error(format!("arguments of {name}"), "those of torch.save");
        let Node::Name(name) = self.nodes[name].clone() else {
            return Err(self.error("a call of something else", "a name"));
        };
        let values = self.sequence(arguments).map(<[Place]>::to_vec).unwrap_or_default();
        match (name.as_str(), &values[..]) {
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                [storage, offset, shape, strides, ..],
            ) => {
                let parts = self.extent(*offset).zip(self.extents(*shape)).zip(self.extents(*strides));
                let Some(((offset, shape), strides)) = parts else { return Err(wrong(self, &name)) };
                self.push(Node::Tensor { storage: *storage, offset, shape, strides });
            }
            ("torch._utils._rebuild_parameter" | "torch.Size", [value, ..]) => self.stack.push(*value),
            // PyTorch never passes pairs here; it sets them afterwards.
            ("collections.OrderedDict", []) => self.push(Node::Dictionary(Vec::new())),
            _ => return Err(wrong(self, &name)),
        }
        Ok(())
    }
}
