//! `record!`, `oneof!` and `enumeration!`: one listing makes the type, its reader, its writer and its table.

/// Makes a record: a documented struct, its [`Field`](super::Field) and its [`Record`](super::Record) table.
///
/// Each line reads `pub rust_name: Type = "jsonName" => attribute("text"),`. A plain `String`, `Vec` or map that is
/// not written is empty; an `Option` is `None`; any other type must be written. Attributes are the `const fn`s of
/// [`FieldInfo`](super::FieldInfo). A record marked `or default` may be left out. Groups of exclusive fields follow in a `oneof { pub name: Type, }` block.
macro_rules! record {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident $( or $empty:ident )? {
            $( $(#[doc = $fdoc:literal])+ pub $field:ident : $ty:ty = $json:literal
                $(=> $attr:ident $(($arg:expr))? )* , )*
        }
        $( oneof { $( $(#[doc = $odoc:literal])+ pub $ofield:ident : $oty:ty , )+ } )?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $( $(#[doc = $fdoc])+ pub $field: $ty, )*
            $($( $(#[doc = $odoc])+ pub $ofield: Option<$oty>, )+)?
        }

        impl $crate::schema::Record for $name {
            // A static: a constant would be copied into each crate, and with its addresses into each process.
            const INFO: &'static $crate::schema::RecordInfo = {
                static TABLE: $crate::schema::RecordInfo = $crate::schema::RecordInfo {
                    name: stringify!($name),
                    doc: concat!($($doc, "\n"),+),
                    fields: &[ $(
                        $crate::schema::FieldInfo::new(
                            $json, <$ty as $crate::schema::Field>::TYPE, concat!($($fdoc, "\n"),+)
                        ).needed(<$ty as $crate::schema::Field>::REQUIRED) $( .$attr($($arg)?) )*
                    ),* ],
                    oneofs: &[ $($( <$oty as $crate::schema::Oneof>::INFO ),+)? ],
                };
                &TABLE
            };
        }

        impl $crate::schema::Field for $name {
            const TYPE: $crate::schema::TypeInfo =
                $crate::schema::TypeInfo::Record(<Self as $crate::schema::Record>::INFO);

            $( const REQUIRED: bool = { let _ = stringify!($empty); false }; )?

            fn decode(
                node: &$crate::node::Node,
                at: &$crate::schema::At<'_>,
                cx: &mut $crate::schema::Context,
            ) -> Option<Self> {
                #[allow(unused_mut, reason = "a record may be empty")]
                let mut fields = $crate::schema::Fields::sort(
                    node, at, <Self as $crate::schema::Record>::INFO, cx)?;
                $( let $field = fields.next::<$ty>(cx); )*
                $($( let $ofield = fields.next_oneof::<$oty>(cx); )+)?
                let _ = fields;
                Some(Self { $( $field: $field?, )* $($( $ofield: $ofield?, )+)? })
            }

            $(
            fn absent() -> Option<Self> {
                Some(Self::$empty())
            }

            fn is_absent(&self) -> bool {
                *self == Self::$empty()
            }
            )?

            fn encode(&self) -> serde_json::Value {
                #[allow(unused_mut, reason = "a record may be empty")]
                let mut map = serde_json::Map::new();
                $( if !$crate::schema::Field::is_absent(&self.$field) {
                    $crate::schema::put(&mut map, $json, $crate::schema::Field::encode(&self.$field));
                } )*
                $($( if let Some(set) = &self.$ofield {
                    $crate::schema::Oneof::encode_into(set, &mut map);
                } )+)?
                serde_json::Value::Object(map)
            }
        }
    };
}
pub(crate) use record;

/// Makes an enum of which each variant is a field, at most one of which may be set. With `empty { Name }` after it,
/// the enum is a type of its own (read from a mapping) and `Name` stands for the mapping in which nothing is set.
macro_rules! oneof {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident {
            $( $(#[doc = $fdoc:literal])+ $variant:ident ( $ty:ty ) = $json:literal
                $(=> $attr:ident $(($arg:expr))? )* , )+
        }
        $( empty { $(#[doc = $edoc:literal])+ $empty:ident } )?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "mirrors the document; few of them live at a time")]
        pub enum $name {
            $( $(#[doc = $fdoc])+ $variant($ty), )+
            $( $(#[doc = $edoc])+ $empty, )?
        }

        impl $crate::schema::Oneof for $name {
            const INFO: &'static $crate::schema::OneofInfo = {
                static TABLE: $crate::schema::OneofInfo = $crate::schema::OneofInfo {
                    name: stringify!($name),
                    doc: concat!($($doc, "\n"),+),
                    members: &[ $(
                        $crate::schema::FieldInfo::new(
                            $json, <$ty as $crate::schema::Field>::TYPE, concat!($($fdoc, "\n"),+)
                        ) $( .$attr($($arg)?) )*
                    ),+ ],
                };
                &TABLE
            };

            #[allow(unused_assignments, reason = "the counter runs past the last member")]
            fn decode_member(
                index: usize,
                node: &$crate::node::Node,
                at: &$crate::schema::At<'_>,
                cx: &mut $crate::schema::Context,
            ) -> Option<Self> {
                let mut i = 0;
                $(
                    if index == i {
                        return <$ty as $crate::schema::Field>::decode(node, at, cx).map($name::$variant);
                    }
                    i += 1;
                )+
                None
            }

            fn encode_into(&self, map: &mut serde_json::Map<String, serde_json::Value>) {
                match self {
                    $( $name::$variant(value) => {
                        $crate::schema::put(map, $json, $crate::schema::Field::encode(value));
                    } )+
                    $( $name::$empty => {} )?
                }
            }
        }

        $(
        impl Default for $name {
            fn default() -> Self {
                $name::$empty
            }
        }

        impl $crate::schema::Field for $name {
            const TYPE: $crate::schema::TypeInfo =
                $crate::schema::TypeInfo::Oneof(<Self as $crate::schema::Oneof>::INFO);

            fn decode(
                node: &$crate::node::Node,
                at: &$crate::schema::At<'_>,
                cx: &mut $crate::schema::Context,
            ) -> Option<Self> {
                $crate::schema::decode_oneof(node, at, cx).map(|set| set.unwrap_or($name::$empty))
            }

            fn encode(&self) -> serde_json::Value {
                let mut map = serde_json::Map::new();
                $crate::schema::Oneof::encode_into(self, &mut map);
                serde_json::Value::Object(map)
            }
        }
        )?
    };
}
pub(crate) use oneof;

/// Makes an enum of words.
macro_rules! enumeration {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident {
            $( $(#[doc = $fdoc:literal])+ $variant:ident = $word:literal , )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $( $(#[doc = $fdoc])+ $variant, )+
        }

        impl $name {
            /// The words, in the order of the listing.
            pub const WORDS: &'static [&'static str] = &[ $( $word ),+ ];

            /// The word as documents write it.
            pub fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $word, )+ }
            }
        }

        impl $crate::schema::Field for $name {
            const TYPE: $crate::schema::TypeInfo = $crate::schema::TypeInfo::Enum(Self::WORDS);

            fn decode(
                node: &$crate::node::Node,
                at: &$crate::schema::At<'_>,
                cx: &mut $crate::schema::Context,
            ) -> Option<Self> {
                match node.as_str() {
                    $( Some($word) => Some($name::$variant), )+
                    _ => {
                        $crate::schema::unknown_word(node, at, Self::WORDS, cx);
                        None
                    }
                }
            }

            fn encode(&self) -> serde_json::Value {
                serde_json::Value::String(self.as_str().to_owned())
            }
        }
    };
}
pub(crate) use enumeration;
