group "default" { targets = ["a", "b"] }
target "a" { dockerfile = "Dockerfile.a" }
target "b" { dockerfile = "Dockerfile.b" }
