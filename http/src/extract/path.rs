use super::{FromHead, in_short};
use crate::{HandlerError, request::Head};
use serde::{
    de::{
        self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess,
        Visitor, value::MapDeserializer,
    },
    forward_to_deserialize_any,
};
use std::{borrow::Cow, fmt};

/// The parameters of the route's path, percent-decoded, by serde: one value for one parameter, a tuple for
/// several in their order, a struct or a map by their names.
///
/// Refused with 404 if they do not fit: no such thing can be there. A type that can never fit (a tuple of
/// another length) is 500.
///
/// ```
/// use lakh_http::{App, extract::Path};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Comment {
///     post: u64,
///     comment: u64,
/// }
///
/// let app = App::new()
///     .get("/users/{id}", |Path(id): Path<u64>| id.to_string())
///     .get("/{year}/{month}", |Path((year, month)): Path<(u16, u8)>| format!("{month}/{year}"))
///     .get("/posts/{post}/{comment}", |Path(at): Path<Comment>| format!("{} of {}", at.comment, at.post));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

impl<S, T: DeserializeOwned> FromHead<S> for Path<T> {
    type Rejection = HandlerError;

    fn from_head(head: &Head<'_>, _: &S) -> Result<Self, HandlerError> {
        if !head.params_are_text() {
            return Err(HandlerError::bad_request("a parameter of the path is not UTF-8"));
        }
        T::deserialize(Params { head }).map(Path).map_err(|error| match error {
            Misfit::Value(message) => HandlerError::not_found(in_short(message)),
            Misfit::Type(message) => HandlerError::internal(message),
        })
    }
}

/// Why parameters do not fit a type.
#[derive(Debug)]
enum Misfit {
    /// These values do not.
    Value(String),
    /// No values would.
    Type(String),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Misfit::Value(message) | Misfit::Type(message)) = self;
        f.write_str(message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Misfit::Value(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Misfit::Type(format!("the route has no parameter `{field}`"))
    }
}

/// All parameters of a route.
struct Params<'a, 'h> {
    head: &'a Head<'h>,
}

impl<'h> Params<'_, 'h> {
    fn only(&self) -> Result<Param<'h>, Misfit> {
        let mut params = self.head.params();
        match (params.next(), params.next()) {
            (Some((name, value)), None) => Ok(Param { name, value }),
            _ => Err(Misfit::Type(format!(
                "the route has {} parameters, and one value is wanted",
                self.head.params().count()
            ))),
        }
    }

    fn sequence<'de, V: Visitor<'de>>(&self, wanted: Option<usize>, visitor: V) -> Result<V::Value, Misfit> {
        let count = self.head.params().count();
        if let Some(wanted) = wanted.filter(|&wanted| wanted != count) {
            return Err(Misfit::Type(format!("the route has {count} parameters, and {wanted} are wanted")));
        }
        let values = self.head.params().map(|(name, value)| Param { name, value });
        visitor.visit_seq(de::value::SeqDeserializer::new(values))
    }
}

macro_rules! of_the_only_one {
    ($($deserialize:ident)*) => { $(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            self.only()?.$deserialize(visitor)
        }
    )* };
}

impl<'de> Deserializer<'de> for Params<'_, '_> {
    type Error = Misfit;

    of_the_only_one! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_option deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.head.params().count() {
            1 => self.only()?.deserialize_any(visitor),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.sequence(None, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.sequence(Some(len), visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.sequence(Some(len), visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let pairs = self.head.params().map(|(name, value)| (name, Param { name, value }));
        visitor.visit_map(MapDeserializer::new(pairs))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }
}

/// One parameter, decoded.
struct Param<'a> {
    name: &'a str,
    value: Cow<'a, str>,
}

macro_rules! parsed {
    ($($deserialize:ident $visit:ident $what:literal;)*) => { $(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match self.value.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Misfit::Value(format!("`{}` is not {}: {:?}", self.name, $what, self.value))),
            }
        }
    )* };
}

impl<'de> Deserializer<'de> for Param<'_> {
    type Error = Misfit;

    parsed! {
        deserialize_bool visit_bool "true or false";
        deserialize_i8 visit_i8 "a number from -128 to 127";
        deserialize_i16 visit_i16 "a number of 16 bits";
        deserialize_i32 visit_i32 "a number of 32 bits";
        deserialize_i64 visit_i64 "a number of 64 bits";
        deserialize_i128 visit_i128 "a number of 128 bits";
        deserialize_u8 visit_u8 "a number from 0 to 255";
        deserialize_u16 visit_u16 "a number of 16 bits, 0 or more";
        deserialize_u32 visit_u32 "a number of 32 bits, 0 or more";
        deserialize_u64 visit_u64 "a number of 64 bits, 0 or more";
        deserialize_u128 visit_u128 "a number of 128 bits, 0 or more";
        deserialize_f32 visit_f32 "a number";
        deserialize_f64 visit_f64 "a number";
        deserialize_char visit_char "one character";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_string(self.value.into_owned())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Misfit> for Param<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A parameter that names a variant.
impl<'de> EnumAccess<'de> for Param<'_> {
    type Error = Misfit;
    type Variant = UnitOnly;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, UnitOnly), Misfit> {
        Ok((seed.deserialize(self)?, UnitOnly))
    }
}

struct UnitOnly;

impl<'de> VariantAccess<'de> for UnitOnly {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Misfit> {
        Err(Misfit::Type("a parameter is no variant with a value".to_owned()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Misfit> {
        Err(Misfit::Type("a parameter is no variant with values".to_owned()))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Misfit> {
        Err(Misfit::Type("a parameter is no variant with fields".to_owned()))
    }
}
