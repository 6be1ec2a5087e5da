//! Columns that tables of the mesh's kinds show, as Istio and the Gateway API choose them.

use crate::kind::KindInfo;

/// A column of a table of custom resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrinterColumn {
    /// Its title.
    pub name: &'static str,
    /// Type of its cells: `string`, `integer`, `boolean` or `date`.
    pub column_type: &'static str,
    /// 0 to show it always, 1 to show it in wide tables only.
    pub priority: u8,
    /// What it shows.
    pub description: &'static str,
    /// Where the value is in the object, as JSON path.
    pub path: &'static str,
}

const fn text(name: &'static str, path: &'static str, description: &'static str) -> PrinterColumn {
    PrinterColumn { name, column_type: "string", priority: 0, description, path }
}

const fn wide(name: &'static str, path: &'static str, description: &'static str) -> PrinterColumn {
    PrinterColumn { name, column_type: "string", priority: 1, description, path }
}

const AGE: PrinterColumn = PrinterColumn {
    name: "Age",
    column_type: "date",
    priority: 0,
    description: "Time since the object was made.",
    path: ".metadata.creationTimestamp",
};
const HOST: PrinterColumn = text("Host", ".spec.host", "The host that the policy is for.");
const HOSTS: PrinterColumn = text("Hosts", ".spec.hosts", "The hosts that the resource is for.");
const HOSTNAMES: PrinterColumn =
    text("Hostnames", ".spec.hostnames", "The host names that the route is for.");
const ACCEPTED: PrinterColumn = text(
    "Accepted",
    ".status.conditions[?(@.type==\"Accepted\")].status",
    "Whether the resource is valid and in use.",
);
const WIDE_ACCEPTED: PrinterColumn = PrinterColumn { priority: 1, ..ACCEPTED };
const PROGRAMMED: PrinterColumn = text(
    "Programmed",
    ".status.conditions[?(@.type==\"Programmed\")].status",
    "Whether the proxies concerned have it.",
);
const WIDE_PROGRAMMED: PrinterColumn = PrinterColumn { priority: 1, ..PROGRAMMED };

/// The columns between the name and the end of the line for a kind of the mesh.
pub fn columns(info: &KindInfo) -> &'static [PrinterColumn] {
    match (info.group, info.kind) {
        ("gateway.networking.k8s.io", "GatewayClass") => {
            const {
                &[
                    text("Controller", ".spec.controllerName", "The controller of the class."),
                    ACCEPTED,
                    AGE,
                    wide("Description", ".spec.description", "What the class is for."),
                ]
            }
        }
        ("gateway.networking.k8s.io", "Gateway") => {
            const {
                &[
                    text("Class", ".spec.gatewayClassName", "The class of the gateway."),
                    text("Address", ".status.addresses[*].value", "Where the gateway is reachable."),
                    PROGRAMMED,
                    AGE,
                ]
            }
        }
        ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute" | "TLSRoute") => &[HOSTNAMES, AGE],
        ("networking.istio.io", "VirtualService") => {
            const {
                &[
                    text("Gateways", ".spec.gateways", "The gateways that the routes apply to."),
                    HOSTS,
                    AGE,
                    WIDE_ACCEPTED,
                    WIDE_PROGRAMMED,
                ]
            }
        }
        ("networking.istio.io", "DestinationRule") => &[HOST, AGE, WIDE_ACCEPTED, WIDE_PROGRAMMED],
        ("networking.istio.io", "ServiceEntry") => {
            const {
                &[
                    HOSTS,
                    text("Location", ".spec.location", "Whether the service is part of the mesh."),
                    text("Resolution", ".spec.resolution", "How its addresses are found."),
                    AGE,
                    WIDE_ACCEPTED,
                    WIDE_PROGRAMMED,
                ]
            }
        }
        ("networking.istio.io", "WorkloadEntry") => {
            const { &[AGE, text("Address", ".spec.address", "Address of the workload."), WIDE_ACCEPTED] }
        }
        ("security.istio.io", "PeerAuthentication") => {
            const {
                &[
                    text("Mode", ".spec.mtls.mode", "Whether mutual TLS is asked for."),
                    AGE,
                    WIDE_ACCEPTED,
                    WIDE_PROGRAMMED,
                ]
            }
        }
        ("security.istio.io", "AuthorizationPolicy") => {
            const { &[text("Action", ".spec.action", "What a match means."), AGE, WIDE_ACCEPTED, WIDE_PROGRAMMED] }
        }
        (group, _) if group.ends_with(".istio.io") || group == crate::policy::GROUP => {
            &[AGE, WIDE_ACCEPTED, WIDE_PROGRAMMED]
        }
        _ => &[AGE],
    }
}
