"""The agent's protocol: ``agent.proto`` and what ``scripts/generate_proto.py`` makes of it (do not edit)."""
