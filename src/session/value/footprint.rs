//! How much memory a value takes at most, found while it is decoded.
//!
//! JSON does not tell: an empty text takes three bytes of it and 24 of memory. But a value is made
//! of values, and each comes out of a [`Visitor`] whose type, and so whose size, is known when it
//! is compiled. So decoding goes through [`Counting`], which passes everything on, and adds up what
//! the allocator gives for it: for each text its length, for each collection what one of its kind
//! and length takes (see `kinds`).
//!
//! What does not show, and is not counted: memory that a type's own `Deserialize` takes beside what
//! it reads; and what is behind a flattened field, or an enum without tags or with its tag inside,
//! as far as it is larger than what serde buffers for it.

use super::heap::{MEASURED, listening};
use super::kinds::{Entries, Place, any_collection, block, collection, shared};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use std::cell::Cell;
use std::fmt;
use std::mem::needs_drop;

/// Reads a value, and adds up what it takes in memory beside its own place, at most.
pub(super) fn heap_bytes<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<(T, usize), D::Error> {
    let bytes = Cell::new(0);
    let value = T::deserialize(Counting::new::<T>(from, &bytes))?;
    Ok((value, bytes.get()))
}

/// Passes everything on to `inner`, and counts.
struct Counting<'t, X> {
    inner: X,
    bytes: &'t Cell<usize>,
    place: Place,
    /// What comes are the fields of one value, and not the entries of a collection.
    is_fixed: bool,
}

impl<'t, X> Counting<'t, X> {
    /// For a value that is put where a `T` is. Adds what it takes beside that place to `bytes`.
    fn new<T>(inner: X, bytes: &'t Cell<usize>) -> Self {
        Self {
            inner,
            bytes,
            place: Place::of::<T>(),
            is_fixed: false,
        }
    }

    /// The same for another part of the same value.
    fn with<Y>(&self, inner: Y) -> Counting<'t, Y> {
        Counting {
            inner,
            bytes: self.bytes,
            place: self.place,
            is_fixed: self.is_fixed,
        }
    }

    fn fixed(self) -> Self {
        Self {
            is_fixed: true,
            ..self
        }
    }

    fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }

    /// Counts a value that is made of what was read, if it may be behind a pointer.
    fn value<T>(&self) {
        self.add(self.place.pointers_to::<T>());
    }

    /// Counts a value that may keep so many bytes.
    fn text<T>(&self, length: usize) {
        if let Some(slice) = self.place.slice() {
            return self.add(slice.block(length));
        }
        self.value::<T>();
        if self.place.owns && needs_drop::<T>() {
            // One that is not known may share it.
            self.add(match self.place.is_known_to_lead_to::<T>() {
                true => block(length),
                false => shared(length),
            });
        }
    }

    /// Counts a value that may keep these entries.
    fn entries<T>(&self, entries: &Entries) {
        let keeps = !self.is_fixed && self.place.owns && needs_drop::<T>();
        if keeps && let Some(slice) = self.place.slice() {
            return self.add(slice.block(entries.count * entries.size()));
        }
        self.value::<T>();
        if keeps {
            self.add(match self.place.is_known_to_lead_to::<T>() {
                true => collection::<T>(entries),
                false => any_collection(entries),
            });
        }
    }
}

/// The access to a sequence's elements or a map's entries.
struct Listed<'t, 'e, A> {
    inner: A,
    bytes: &'t Cell<usize>,
    entries: &'e mut Entries,
}

macro_rules! pass {
    ($($method:ident($($name:ident: $type:ty),*) $($fixed:ident)?;)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.with(visitor)$(.$fixed())?;
            self.inner.$method($($name,)* visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Counting<'_, D> {
    type Error = D::Error;

    pass! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(length: usize) fixed;
        deserialize_tuple_struct(name: &'static str, length: usize) fixed;
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) fixed;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let unmeasured = self.bytes.get();
        let visitor = self.with(visitor);
        if name != MEASURED {
            return self.inner.deserialize_newtype_struct(name, visitor);
        }
        let read = || self.inner.deserialize_newtype_struct(name, visitor);
        let (value, told) = listening(read);
        self.bytes.set(unmeasured.saturating_add(told));
        value
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visit {
    (scalars { $($scalar:ident $type:ty;)* } texts { $($text:ident $string:ty;)* }) => {
        $(fn $scalar<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.value::<V::Value>();
            self.inner.$scalar(value)
        })*
        $(fn $text<E: Error>(self, text: $string) -> Result<V::Value, E> {
            self.text::<V::Value>(text.len());
            self.inner.$text(text)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Counting<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        scalars {
        visit_bool bool;
        visit_i8 i8;
        visit_i16 i16;
        visit_i32 i32;
        visit_i64 i64;
        visit_i128 i128;
        visit_u8 u8;
        visit_u16 u16;
        visit_u32 u32;
        visit_u64 u64;
        visit_u128 u128;
        visit_f32 f32;
        visit_f64 f64;
        }
        texts {
        visit_str &str;
        visit_borrowed_str &'de str;
        visit_string String;
        visit_bytes &[u8];
        visit_borrowed_bytes &'de [u8];
        visit_byte_buf Vec<u8>;
        }
    }

    fn visit_char<E: Error>(self, value: char) -> Result<V::Value, E> {
        self.text::<V::Value>(value.len_utf8());
        self.inner.visit_char(value)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.value::<V::Value>();
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.value::<V::Value>();
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.value::<V::Value>();
        let value = self.with(value);
        self.inner.visit_some(value)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.value::<V::Value>();
        let value = self.with(value);
        self.inner.visit_newtype_struct(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let mut entries = Entries::default();
        let counting = self.with(());
        let value = self.inner.visit_seq(Listed {
            inner,
            bytes: self.bytes,
            entries: &mut entries,
        })?;
        counting.entries::<V::Value>(&entries);
        Ok(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let mut entries = Entries::default();
        let counting = self.with(());
        let value = self.inner.visit_map(Listed {
            inner,
            bytes: self.bytes,
            entries: &mut entries,
        })?;
        counting.entries::<V::Value>(&entries);
        Ok(value)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.value::<V::Value>();
        let variant = self.with(variant);
        self.inner.visit_enum(variant)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Counting<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<S::Value, D::Error> {
        let value = self.with(value);
        self.inner.deserialize(value)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Listed<'_, '_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = Counting::new::<S::Value>(seed, self.bytes);
        let element = self.inner.next_element_seed(seed)?;
        if element.is_some() {
            self.entries.value::<S::Value>();
        }
        Ok(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Listed<'_, '_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.entries.key::<S::Value>();
        let seed = Counting::new::<S::Value>(seed, self.bytes);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.entries.value::<S::Value>();
        let seed = Counting::new::<S::Value>(seed, self.bytes);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 't, A: EnumAccess<'de>> EnumAccess<'de> for Counting<'t, A> {
    type Error = A::Error;
    type Variant = Counting<'t, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let seed = Counting::new::<S::Value>(seed, self.bytes);
        let counting = self.with(());
        let (name, variant) = self.inner.variant_seed(seed)?;
        Ok((name, counting.with(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Counting<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = Counting::new::<S::Value>(seed, self.bytes);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor).fixed();
        self.inner.tuple_variant(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(visitor).fixed();
        self.inner.struct_variant(fields, visitor)
    }
}
