//! What a value says of itself to serde, as one number: two values with the same number are the
//! same.
//!
//! Unlike JSON it tells `Some(None)` from `None`, NaN from null, and one type of integer from
//! another. The entries of a map count in any order. So do the elements of a sequence, for a
//! `HashSet` has none, unless the order is asked for.

use ahash::RandomState;
use serde::Serialize;
use serde::ser::{
    Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use std::fmt;
use std::hash::Hash;

/// How many values may be inside of each other. JSON is read to a depth of 127, and each level of
/// it may be an option or a wrapper as well.
const LEVELS: u16 = 512;

/// Fingerprints of one process are compared with each other only: the keys need not be secret.
const HASHER: RandomState = RandomState::with_seeds(1, 2, 3, 4);

/// The fingerprint of a value. Cost: about that of writing it as JSON.
///
/// # Errors
/// If its `Serialize` fails, or if it is nested more deeply than any JSON that can be read.
pub(super) fn fingerprint<T: Serialize>(value: &T) -> Result<u64, Fault> {
    let order = Order::Any;
    value.serialize(Printer {
        order,
        levels: LEVELS,
    })
}

/// The same for sequences whose order counts: a set may say another thing of itself each time.
///
/// # Errors
/// As [`fingerprint`].
pub(super) fn ordered_fingerprint<T: Serialize>(value: &T) -> Result<u64, Fault> {
    let order = Order::Counts;
    value.serialize(Printer {
        order,
        levels: LEVELS,
    })
}

/// Why there is no fingerprint. Without serde's message: that may quote the value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TooDeep,
    Refused,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooDeep => "it is nested too deeply",
            Self::Refused => "its Serialize fails",
        })
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Refused
    }
}

/// What kind of value a number is the hash of.
#[derive(Hash)]
enum Kind {
    Bool,
    Signed(u8),
    Unsigned(u8),
    Float(u8),
    Char,
    Text,
    Bytes,
    None,
    Some,
    Unit,
    Variant(u32),
    Wrapped,
    Parts,
}

fn hash(kind: Kind, content: impl Hash) -> u64 {
    HASHER.hash_one((kind, content))
}

/// What the order of a sequence's elements is.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Any,
    Counts,
}

#[derive(Clone, Copy)]
struct Printer {
    order: Order,
    levels: u16,
}

impl Printer {
    fn inner<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, Fault> {
        let levels = self.levels.checked_sub(1).ok_or(Fault::TooDeep)?;
        value.serialize(Self { levels, ..self })
    }

    fn parts(self, variant: Option<u32>) -> Result<Parts, Fault> {
        Ok(Parts {
            printer: self,
            variant,
            sum: 0,
            count: 0,
            key: 0,
        })
    }
}

/// What is made of several values. Their fingerprints are summed, so that their order counts only
/// where they are hashed together with their place or name.
struct Parts {
    printer: Printer,
    variant: Option<u32>,
    sum: u64,
    count: u64,
    /// That of a map's entry whose value has not come yet.
    key: u64,
}

impl Parts {
    fn add(&mut self, part: u64) {
        self.sum = self.sum.wrapping_add(part);
        self.count += 1;
    }

    fn place<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let print = self.printer.inner(value)?;
        self.add(hash(Kind::Parts, (self.count, print)));
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Fault> {
        let print = self.printer.inner(value)?;
        self.add(hash(Kind::Parts, (name, print)));
        Ok(())
    }

    fn finish(self) -> u64 {
        hash(Kind::Parts, (self.variant, self.count, self.sum))
    }
}

macro_rules! numbers {
    ($($method:ident $type:ty => $kind:expr;)*) => {
        $(fn $method(self, value: $type) -> Result<u64, Fault> {
            Ok(hash($kind, value))
        })*
    };
}

impl Serializer for Printer {
    type Ok = u64;
    type Error = Fault;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    numbers! {
        serialize_bool bool => Kind::Bool;
        serialize_i8 i8 => Kind::Signed(8);
        serialize_i16 i16 => Kind::Signed(16);
        serialize_i32 i32 => Kind::Signed(32);
        serialize_i64 i64 => Kind::Signed(64);
        serialize_i128 i128 => Kind::Signed(128);
        serialize_u8 u8 => Kind::Unsigned(8);
        serialize_u16 u16 => Kind::Unsigned(16);
        serialize_u32 u32 => Kind::Unsigned(32);
        serialize_u64 u64 => Kind::Unsigned(64);
        serialize_u128 u128 => Kind::Unsigned(128);
        serialize_char char => Kind::Char;
        serialize_str &str => Kind::Text;
        serialize_bytes &[u8] => Kind::Bytes;
    }

    fn serialize_f32(self, value: f32) -> Result<u64, Fault> {
        Ok(hash(Kind::Float(32), value.to_bits()))
    }

    fn serialize_f64(self, value: f64) -> Result<u64, Fault> {
        Ok(hash(Kind::Float(64), value.to_bits()))
    }

    fn serialize_none(self) -> Result<u64, Fault> {
        Ok(hash(Kind::None, ()))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, Fault> {
        Ok(hash(Kind::Some, self.inner(value)?))
    }

    fn serialize_unit(self) -> Result<u64, Fault> {
        Ok(hash(Kind::Unit, ()))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<u64, Fault> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
    ) -> Result<u64, Fault> {
        Ok(hash(Kind::Variant(index), ()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<u64, Fault> {
        Ok(hash(Kind::Wrapped, self.inner(value)?))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<u64, Fault> {
        Ok(hash(Kind::Variant(index), self.inner(value)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, Fault> {
        self.parts(None)
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, Fault> {
        self.parts(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, Fault> {
        self.parts(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts, Fault> {
        self.parts(Some(index))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, Fault> {
        self.parts(None)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, Fault> {
        self.parts(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts, Fault> {
        self.parts(Some(index))
    }
}

impl SerializeSeq for Parts {
    type Ok = u64;
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        if self.printer.order == Order::Counts {
            return self.place(value);
        }
        let print = self.printer.inner(value)?;
        self.add(hash(Kind::Parts, print));
        Ok(())
    }

    fn end(self) -> Result<u64, Fault> {
        Ok(self.finish())
    }
}

impl SerializeMap for Parts {
    type Ok = u64;
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.key = self.printer.inner(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let print = self.printer.inner(value)?;
        self.add(hash(Kind::Parts, (self.key, print)));
        Ok(())
    }

    fn end(self) -> Result<u64, Fault> {
        Ok(self.finish())
    }
}

macro_rules! parts {
    ($($trait:ident: $method:ident($($name:ident)?) by $add:ident;)*) => {
        $(impl $trait for Parts {
            type Ok = u64;
            type Error = Fault;

            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($name: &'static str,)?
                value: &T,
            ) -> Result<(), Fault> {
                self.$add($($name,)? value)
            }

            fn end(self) -> Result<u64, Fault> {
                Ok(self.finish())
            }
        })*
    };
}

parts! {
    SerializeTuple: serialize_element() by place;
    SerializeTupleStruct: serialize_field() by place;
    SerializeTupleVariant: serialize_field() by place;
    SerializeStruct: serialize_field(name) by field;
    SerializeStructVariant: serialize_field(name) by field;
}
