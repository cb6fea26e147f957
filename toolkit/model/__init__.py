"""Frozen, versioned values and their JSON Schemas. Nothing here touches the world or imports anything else of ours."""
