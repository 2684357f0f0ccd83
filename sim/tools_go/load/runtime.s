// Empty: with an assembly file beside it Go takes functions without a body (entersyscall, exitsyscall).
